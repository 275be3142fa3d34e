"""The bundled small LaVie in a real ComfyUI: its parts are core's. test_workflows.py runs template 21."""

from __future__ import annotations

import json

import numpy as np
import pytest

from demo.oracle.oracle import read_frames
from tests.comfyui.graphs import Graph, changed, node
from tests.comfyui.pictures import show
from tests.comfyui.server import PACK
from tests.comfyui.ui_to_api import to_api

TEMPLATE = PACK / "workflows" / "21_lavie_demo.json"
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


def upstream(graph: Graph, source: str) -> Graph:
    """The nodes of a graph that one of them needs, and it."""
    needed, left = {}, [source]
    while left:
        key = left.pop()
        needed[key] = graph[key]
        left += [value[0] for value in graph[key]["inputs"].values() if isinstance(value, list)]
    return needed


def test_the_template_draws_what_its_prompt_says(server, definitions):
    graph = to_api(json.loads(TEMPLATE.read_text(encoding="utf-8")), definitions)
    (decoder, sampler) = (
        next(key for key, node in graph.items() if node["class_type"] == kind) for kind in ("VAEDecode", "KSampler")
    )
    frames = show(server, upstream(changed(graph, sampler, steps=12), decoder), decoder)
    readings = read_frames(frames.numpy().astype(np.float32))
    seen = [(each.shape, each.colour, each.background) for each in readings]
    assert len(seen) == 16 and seen.count(("star", "red", "blue")) >= 12, seen


def test_upscaled_frames_have_the_colors_of_the_input_unless_told_otherwise(server):
    graph = {
        "parts": node("TAVLoadDemoCascade"),
        "demo": node("TAVLoadDemoModel"),
        "some": node("ImageFromBatch", image=["demo", 3], batch_index=0, length=2),
        "small": node("ImageScale", image=["some", 0], width=32, height=32, upscale_method="area", crop="disabled"),
        "larger": node(
            "TAVUpscaleVideo",
            images=["small", 0],
            model_name=TINY["super_resolution"],
            clip=["parts", 0],
            vae=["parts", 2],
            prompt="a red circle",
            num_steps=4,
            cfg=1.0,
            noise_level=50,
            upscale_seed=1,
            negative="",
            chunk=8,
            chunk_overlap=2,
        ),
    }
    small, off = show(server, graph, "small"), []
    # Without a word, as in graphs that were saved before there was such an input, they are kept.
    for told in ({}, {"keep_colors": True}, {"keep_colors": False}):
        large = show(server, changed(graph, "larger", **told), "larger")
        off.append(float((large.mean((1, 2)) - small.mean((1, 2))).abs().max()))
    assert off[0] == off[1] < 0.01 and off[2] > 2 * off[1], off
