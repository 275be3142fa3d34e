"""Controls and rotary positions in a real ComfyUI: the figures of control_checks.py, held to their bounds."""

from __future__ import annotations

import pytest

from tests.comfyui.graphs import OPTIONS, edit_graph, node
from tests.comfyui.server import error_of


@pytest.fixture(scope="module")
def figures(run_checks):
    """What control_checks.py measured."""
    return run_checks("control_checks.py")


def test_rotary_positions_are_the_same_on_both_hosts_and_come_with_the_motion(figures):
    rotary = figures["rotary"]
    assert rotary["agreement"] < 5e-5
    assert rotary["counts"] > 1e-3
    assert rotary["off"] < 5e-5
    assert "positions 'learned'" in rotary["unknown"] and "later version" in rotary["unknown"]


def test_cores_controlnet_and_the_librarys_lead_alike(figures):
    """The library reads the file with the names that core's own net has."""
    assert figures["controlnet"]["agreement"] < 5e-5
    assert figures["controlnet"]["windows"] < 5e-5
    assert figures["controlnet"]["leads"] > 1e-2


def test_a_mask_holds_cores_controlnet_as_the_librarys(figures):
    """The mask moves from frame to frame, also in context windows; of a chain, it holds the last net alone."""
    found = figures["controlnet"]
    assert found["masked"] < 5e-5 and found["masked windows"] < 5e-5
    assert found["mask counts"] > 1e-3
    assert found["white"] < 5e-5 and found["black"] < 5e-5 and found["last alone"] < 5e-5
    assert found["given stays"] == 0
    assert found["rounded"] < 5e-5
    assert found["copied"] == "MaskedControlNet" and found["clones"] == [0]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no control", ["prompts without a ControlNet", "behind Apply ControlNet"]),
        ("other size", ["a mask of 96x64 pixels", "96x96 pixels"]),
        ("other frames", ["a mask of 2 frames for a clip of"]),
        ("other frames in windows", ["a mask of 2 frames for a clip of"]),
        ("another pack's", ["of another pack", "that pack's own node"]),
        ("pooled", ["one value for the whole picture"]),
    ],
)
def test_masks_of_controls_that_do_not_fit_are_said(figures, case, words):
    assert all(word in figures["controlnet"][case] for word in words), figures["controlnet"][case]


@pytest.mark.parametrize("kind", ["full", "light"])
def test_cores_adapters_and_the_librarys_see_alike(figures, kind):
    assert figures["adapters"][kind] < 1e-5


def test_a_mask_holds_cores_adapter(figures):
    assert figures["masked adapter"]["agreement"] < 1e-6
    assert figures["masked adapter"]["places"] == 4
    assert figures["masked adapter"]["one picture"] < 1e-6


def test_tune_options_ask_for_rotary_positions(server):
    client = server.connect()
    options = node("TAVTuneOptions", **OPTIONS, positions="rotary")
    graph = {**edit_graph(run_name="rotary", num_steps=2, options=["options", 0]), "options": options}
    done = client.run(graph)
    client.close()
    assert error_of(done) == ""
    motion = (server.base / "models" / "tav_motion" / "rotary.safetensors").read_bytes()
    header = motion[: int.from_bytes(motion[:8], "little")]
    assert rb"\"positions\": \"rotary\"" in header
