"""Inputs that no stock node makes, and graphs with missing links: refused by name, and the server keeps running."""

from __future__ import annotations

import json

import pytest

from tests.comfyui.graphs import LABELS, changed, motion_graph, node, tune_graph
from tests.comfyui.test_wrong_inputs import message_of


@pytest.fixture(scope="module")
def outcomes(run_checks):
    """What bad_input_checks.py saw."""
    return run_checks("bad_input_checks.py")


def test_every_bad_input_is_refused_by_the_library_with_the_sockets_name(outcomes):
    assert len(outcomes) >= 160
    others = {name: seen for name, seen in outcomes.items() if seen[0] != "library"}
    assert others == {}
    unnamed = {name: told for name, (_, told) in outcomes.items() if socket_of(name) not in told}
    assert unnamed == {}


def test_every_refusal_says_what_to_do(outcomes):
    for name, (_, told) in outcomes.items():
        assert told.startswith("Got ") and " Expected " in told and told.endswith("."), (name, told)
        assert len(told) < 600, name


def socket_of(name: str) -> str:
    """What the message must name: the socket, or the latents or frames that came by it, or how to invert again."""
    socket = name.partition(", ")[2].partition(":")[0]
    words = {"latent": "frames" if "frames of 5" in name else "latent", "latent_2": "latent", "inversion": "nver"}
    return words.get(socket, socket)


def a_ring():
    fed = ["compare", 0]
    return {
        "compare": node("TAVCompareVideos", video_a=fed, video_b=fed, **LABELS),
        "save": node("PreviewImage", images=fed),
    }


# name: (graph, a word that the message must hold)
BROKEN = {
    "a link to a node that is not there": (changed(tune_graph(), "tune", model=["gone", 0]), "gone"),
    "a link to an output that is not there": (changed(tune_graph(), "tune", model=["demo", 99]), "tune"),
    "a link that is half a link": (changed(tune_graph(), "tune", model=["demo"]), "model"),
    "an input that is required is not there": (changed(tune_graph(), "tune", frames=None), "frames"),
    "a node of a kind that there is not": ({"x": node("TAVNothing"), **tune_graph()}, "TAVNothing"),
    # ComfyUI 0.33 names the ring, 0.8 says only that the prompt is not valid.
    "a node that feeds itself": (a_ring(), "error"),
    "a motion outside the folder": (motion_graph("../../output/tav_runs/x.safetensors"), "motion_name"),
    "a clip from elsewhere by its mark": (
        {
            "c": node(
                "TAVLoadClip",
                video="../x.mp4 [output]",
                start=0,
                stride=1,
                num_frames=2,
                width=64,
                height=64,
                fit="crop",
            ),
            "save": node("PreviewImage", images=["c", 0]),
        },
        "video",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_graph_is_refused_and_the_server_lives(server, case):
    graph, word = BROKEN[case]
    client = server.connect()
    try:
        told = message_of(client, graph)
    finally:
        client.close()
    assert word in told and len(told) < 20_000, told
    assert server.get("/system_stats")["system"]
    assert "TAVOneShotTune" in json.dumps(list(server.get("/object_info")))
