"""The bundled small LaVie in a real ComfyUI: its parts are core's, and template 21 runs."""

from __future__ import annotations

import pytest

from tests.comfyui.graphs import node
from tests.comfyui.server import error_of

SHOWN = "a red star moving right on a blue background"
TINY = {kind: f"tiny_lavie_{kind}.safetensors" for kind in ("base", "interpolation", "super_resolution")}


@pytest.fixture(scope="module")
def measured(run_checks):
    """What cascade_checks.py measured."""
    return run_checks("cascade_checks.py")


@pytest.mark.parametrize(("part", "times"), [("vae", 8), ("upscaler_vae", 4)])
def test_core_s_vaes_are_those_of_diffusers(measured, part, times):
    found = measured[part]
    assert found["decode"] < 1e-4 and found["encode"] < 1e-4 and found["times"] == times, found


def test_core_encodes_prompts_as_the_library_does(measured):
    assert measured["text"] < 1e-5


def graph() -> dict:
    """Template 21 with fewer frames and steps."""
    given = {"clip": ["parts", 0], "prompt": SHOWN, "num_steps": 2, "cfg": 1.0}
    sampling = {"seed": 1, "steps": 4, "cfg": 5.0, "sampler_name": "ddim", "scheduler": "ddim_uniform", "denoise": 1.0}
    return {
        "parts": node("TAVLoadDemoCascade"),
        "shown": node("CLIPTextEncode", clip=["parts", 0], text=SHOWN),
        "empty": node("CLIPTextEncode", clip=["parts", 0], text=""),
        "lavie": node("TAVLoadLaVie", model_name=TINY["base"]),
        "space": node("EmptyLatentImage", width=96, height=96, batch_size=2),
        "sample": node(
            "KSampler",
            model=["lavie", 0],
            positive=["shown", 0],
            negative=["empty", 0],
            latent_image=["space", 0],
            **sampling,
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["parts", 1]),
        "between": node(
            "TAVInterpolateFrames",
            images=["decode", 0],
            model_name=TINY["interpolation"],
            vae=["parts", 1],
            **given,
            interpolate_seed=1,
            fps=8.0,
            negative="None",
            prompt_suffix=", 4k.",
            window=16,
            window_overlap=4,
        ),
        "larger": node(
            "TAVUpscaleVideo",
            images=["between", 0],
            model_name=TINY["super_resolution"],
            vae=["parts", 2],
            **given,
            noise_level=50,
            upscale_seed=1,
            negative="blur, worst quality",
            chunk=8,
            chunk_overlap=2,
        ),
        "save": node("SaveImage", images=["larger", 0], filename_prefix="demo_cascade"),
    }


def test_the_cascade_runs_from_a_prompt_to_large_frames(server):
    from PIL import Image

    client = server.connect()
    done = client.run(graph())
    client.close()
    assert error_of(done) == ""
    images = done["outputs"]["save"]["images"]
    with Image.open(server.base / "output" / images[0]["filename"]) as picture:
        assert len(images) == 5 and picture.size == (384, 384)


def test_the_tiny_files_are_listed(server):
    for kind, name in (("TAVLoadLaVie", "base"), ("TAVInterpolateFrames", "interpolation")):
        spec = server.get(f"/object_info/{kind}")[kind]["input"]["required"]["model_name"]
        options = spec[1].get("options", spec[0]) if isinstance(spec[0], str) else spec[0]
        assert TINY[name] in options
