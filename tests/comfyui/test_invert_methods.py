"""Inversion methods and their blend in a real ComfyUI: the figures of invert_checks.py, held to their bounds."""

from __future__ import annotations

import pytest

from tests.comfyui.graphs import edit_graph, node
from tests.comfyui.server import error_of

NEEDED = ("demo", "source", "tune", "apply", "encode", "empty")
METHODS = ("ddim", "fixed_point", "o_belm", "dpmpp_2m")


@pytest.fixture(scope="module")
def measured(run_checks):
    """What invert_checks.py measured."""
    return run_checks("invert_checks.py")


@pytest.mark.parametrize("method", METHODS)
def test_both_hosts_agree(measured, method):
    # The exact solver's inversion enlarges the hosts' difference of 1 in 100,000: 50 times, measured, in these 6 steps.
    assert measured[method]["trajectory"] < (2e-3 if method == "o_belm" else 1e-4)
    assert measured[method]["edit"] < 1e-4


def test_an_exact_method_gives_the_clip_back(measured):
    assert measured["o_belm"]["back"] < 1e-5 < measured["fixed_point"]["back"] < measured["ddim"]["back"]


def test_an_inversion_with_steps_of_its_own_is_refused_without_its_trajectory_and_with_fresh_noise(measured):
    for name in ("o_belm", "blend_o_belm", "dpmpp_2m"):
        assert f"inverted by {name.removeprefix('blend_')}, without the trajectory" in measured[name]["alone"]
    for method in ("o_belm", "dpmpp_2m"):
        assert f"eta 0.5 for an inversion by {method}" in measured[method]["eta"]
    for method in ("ddim", "fixed_point", "blend_ddim"):
        assert measured[method]["alone"] == "nothing was refused"


@pytest.mark.parametrize("method", ["ddim", "o_belm"])
def test_the_node_blends_as_the_library_does(measured, method):
    found = measured[f"blend_{method}"]
    assert found["trajectory"] == 0 and found["noise"] < 1e-5 and found["renders"]


def test_the_comparison_says_what_the_library_does(measured):
    node, library = (measured["comparison"][host] for host in ("node", "library"))
    for ours, theirs in zip(node[:2], library[:2], strict=True):
        assert ours == pytest.approx(theirs, abs=0.1)
    # What comes back to rounding has as many dB as the host rounds.
    assert node[2][2] == library[2][2] and min(node[2][:2] + library[2][:2]) > 80


def test_the_comparison_stands_on_the_node(server):
    client = server.connect()
    given = {"model": ["apply", 0], "conditioning": ["empty", 0], "latent": ["encode", 0], "vae": ["demo", 2]}
    graph = {name: each for name, each in edit_graph(num_steps=2).items() if name in NEEDED}
    graph["compare"] = node("TAVCompareInversions", **given, num_steps=2, iterations=2)
    done = client.run(graph)
    client.close()
    assert error_of(done) == ""
    lines = done["outputs"]["compare"]["text"][0].splitlines()
    assert [line.split(":")[0] for line in lines] == list(METHODS)
    assert all(" dB, worst " in line and line.endswith(" s") for line in lines)
    assert any(lines[0].encode() in message for message in client.previews)


def test_a_graph_from_before_there_were_methods_does_what_it_did(measured):
    assert measured["default"]
