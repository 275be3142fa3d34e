"""The pack as it runs on an NVIDIA card, where ComfyUI's DynamicVRAM is the default; see dynamic_vram.py."""

from __future__ import annotations

import pytest
import torch

from tests.comfyui.dynamic_vram import can_emulate
from tests.comfyui.graphs import SOURCE, edit_graph, node, text
from tests.comfyui.pictures import show
from tests.comfyui.server import Server


@pytest.fixture(scope="module", autouse=True)
def needs_dynamic_vram(comfyui):
    """ComfyUI 0.8 has none."""
    if not can_emulate(comfyui.path):
        pytest.skip("this ComfyUI has no DynamicVRAM")


@pytest.fixture(scope="module")
def measured(run_checks):
    """What dynamic_checks.py measured."""
    return run_checks("dynamic_checks.py")


def test_every_clone_gives_what_it_gives_without_it(measured):
    assert measured["dynamic"][1], "nothing was tried under DynamicVRAM"
    assert len(measured["renders"]) == 11 and max(measured["renders"]) < 1e-6
    assert min(measured["differ"]) > 0.05
    assert len(measured["lavie"]) == 4 and max(measured["lavie"]) < 1e-6


def test_patches_on_norms_count_once_whatever_was_loaded_before(measured):
    assert measured["same_again"] == [0, 0, 0]


def test_another_copy_of_the_weights_is_made_in_front_of_a_motion(measured):
    copies = measured["copies"]
    assert "TorchCompileModel" in copies["said"] and "in front of Apply Motion" in copies["said"]
    assert copies["dynamic"] is False and copies["in_front"] < 1e-6


def test_models_are_unloaded_when_memory_runs_out(measured):
    found = measured["out_of_memory"]
    assert found["before"] > 0 and found["after"] == 0
    assert "out of memory while a test" in found["said"]


def test_motions_that_are_no_longer_used_leave_nothing(measured):
    taken = measured["memory"]["taken"]
    assert taken[0] > 0 and set(taken) == {taken[0]}
    assert measured["memory"]["kept"] == 0


def test_loras_are_read_for_tuning(measured):
    assert measured["read"]


def test_the_whole_way_gives_the_same_video_twice_and_after_a_stock_model(comfyui, server, tmp_path):
    graph = edit_graph(run_name="dynamic")
    expected = show(server, graph, "decode")
    dynamic = Server(*comfyui, tmp_path, dynamic_vram=True)
    try:
        first = show(dynamic.wait_ready(), graph, "decode")
        show(dynamic, still_graph(), "decode")
        dynamic.post("/free", {"unload_models": True, "free_memory": True})
        again = show(dynamic, graph, "decode")
    finally:
        dynamic.stop()
    assert "prepared for dynamic VRAM loading" in dynamic.log_text()
    assert torch.equal(first, again)
    assert (first - expected).abs().mean() < 0.01


def still_graph():
    """A picture by the stock sampler on the demo model itself."""
    sampler = {"seed": 1, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["demo", 0], "positive": ["source", 0], "negative": ["source", 0], "latent_image": ["empty", 0]}
    return {
        "demo": node("TAVLoadDemoModel"),
        "source": text(SOURCE),
        "empty": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "sample": node("KSampler", **links, **sampler),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["demo", 2]),
    }
