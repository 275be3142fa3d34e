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


@pytest.mark.parametrize("kind", ["full", "light"])
def test_cores_adapters_and_the_librarys_see_alike(figures, kind):
    assert figures["adapters"][kind] < 1e-5


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
