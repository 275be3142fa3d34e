"""The bundled small LaVie in a real ComfyUI: its parts are core's. test_workflows.py runs template 21."""

from __future__ import annotations

import pytest

TINY = {kind: f"tiny_lavie_{kind}.safetensors" for kind in ("base", "interpolation", "super_resolution")}


@pytest.fixture(scope="module")
def measured(run_checks):
    """What cascade_checks.py measured."""
    return run_checks("cascade_checks.py")


@pytest.mark.parametrize(("part", "times"), [("vae", 8), ("upscaler_vae", 4)])
def test_core_s_vaes_are_those_of_diffusers(measured, part, times):
    found = measured[part]
    assert found["decode"] < 1e-4 and found["encode"] < 1e-4 and found["times"] == [times, times], found


def test_core_encodes_prompts_as_the_library_does(measured):
    assert measured["text"] < 1e-5


def test_the_tiny_files_are_listed(server):
    nodes = ("TAVLoadLaVie", "TAVInterpolateFrames", "TAVUpscaleVideo")
    for kind, name in zip(nodes, TINY, strict=True):
        spec = server.get(f"/object_info/{kind}")[kind]["input"]["required"]["model_name"]
        options = spec[1].get("options", spec[0]) if isinstance(spec[0], str) else spec[0]
        assert TINY[name] in options
