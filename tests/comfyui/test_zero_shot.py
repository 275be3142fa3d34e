"""Text2Video-Zero in a real ComfyUI: the figures of zero_shot_checks.py, and a graph that makes a video."""

from __future__ import annotations

import pytest

from tests.comfyui.graphs import node, text
from tests.comfyui.server import error_of


@pytest.fixture(scope="module")
def measured(run_checks):
    """What zero_shot_checks.py measured."""
    return run_checks("zero_shot_checks.py")


@pytest.mark.parametrize("name", ["moved", "still", "smoothed"])
def test_the_stock_sampler_goes_on_to_what_the_library_makes(measured, name):
    assert measured["hosts"][name] < 1e-4


@pytest.mark.parametrize(
    "name", ["sees_the_first_frame", "spatial_does_not", "spatial_is_the_plain_model", "unchanged"]
)
def test_a_cross_frame_model_sees_other_frames_and_nothing_else_changes(measured, name):
    assert measured["model"][name]


def test_a_controlnet_leads_both_halves_and_each_frame_has_a_hint_of_its_own(measured):
    assert measured["control"]["led"] > 0.05
    assert measured["control"]["own_hint"] > 100 * max(measured["control"]["others"], 1e-7)


def test_instruct_pix2pix_on_core_nodes_is_what_the_library_predicts(measured):
    assert measured["pix2pix"]["hosts"] < 1e-4
    assert measured["pix2pix"]["sees_the_first_frame"] > 1e-3


@pytest.mark.parametrize(
    "name, said",
    [
        ("plain", "Connect Cross-Frame Model"),
        ("twice", "attend to each other already"),
        ("tuned", "attend to each other already"),
        ("motion", "a MODEL of Cross-Frame Model"),
        ("path", "the line '1; 2' in the path"),
        ("masks", "3 masks for 4 frames"),
    ],
)
def test_graphs_that_make_no_sense_are_refused(measured, name, said):
    assert said in measured["refusals"][name]


def test_a_graph_makes_a_video_and_a_bad_path_is_told_before_it_runs(server):
    client = server.connect()
    start = {"positive": ["prompt", 0], "negative": ["empty", 0]}
    graph = {
        "demo": node("TAVLoadDemoModel"),
        "prompt": text("a robot is walking in the desert"),
        "empty": text(""),
        "cross": node("TAVCrossFrameModel", model=["demo", 0], attention="first"),
        "field": node("TAVMotionField", move_x=6.0, move_y=0.0, zoom=1.0, turn=0.0, path=""),
        "space": node("EmptyLatentImage", width=128, height=128, batch_size=4),
        "start": node(
            "TAVZeroShotStart",
            model=["cross", 0],
            **start,
            latent=["space", 0],
            start_seed=1,
            num_steps=6,
            cfg=4.0,
            t0=0.5,
            t1=0.7,
            motion_field=["field", 0],
        ),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
        "sample": node(
            "SamplerCustom",
            model=["cross", 0],
            **start,
            add_noise=False,
            noise_seed=0,
            cfg=4.0,
            sampler=["sampler", 0],
            sigmas=["start", 1],
            latent_image=["start", 0],
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["demo", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="zero_shot"),
    }
    done = client.run(graph)
    assert error_of(done) == ""
    assert len(done["outputs"]["save"]["images"]) == 4
    graph["field"]["inputs"]["path"] = "nonsense"
    refused = server.post("/prompt", {"prompt": graph})
    client.close()
    assert "the line 'nonsense' in the path" in str(refused)
