"""Checkpoints through core's own loader: a motion tuned on one fits others of its family, and no other."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.comfyui.graphs import APPLY, EDIT, TUNE, Graph, changed, motion_graph, node
from tests.comfyui.pictures import all_frames_differ, show
from tests.comfyui.server import PACK, error_of

SCRIPT = Path(__file__).parent / "make_checkpoint.py"
CONTROLNET, SIDE = "random_controlnet.safetensors", 64


@pytest.fixture(scope="module")
def checkpoints(comfyui, server):
    """Two checkpoints with other weights, of core's Stable Diffusion 1.5, and a ControlNet."""
    environment = {
        **os.environ,
        "COMFYUI_PATH": str(comfyui.path),
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    names, models = ["a.safetensors", "b.safetensors"], server.base / "models"
    for seed, name in enumerate(names):
        command = [comfyui.python, SCRIPT, models / "checkpoints" / name, str(seed), models / "controlnet" / CONTROLNET]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
    yield names
    for name in names:
        (models / "checkpoints" / name).unlink()


def load(name: str) -> Graph:
    """A checkpoint, two prompts, and a short clip of the demo's."""
    clip = {"video": "clip.mp4", "start": 0, "stride": 1, "num_frames": 3, "width": SIDE, "height": SIDE, "fit": "crop"}
    return {
        "demo": node("CheckpointLoaderSimple", ckpt_name=name),
        "source": node("CLIPTextEncode", clip=["demo", 1], text="a man is skiing"),
        "empty": node("CLIPTextEncode", clip=["demo", 1], text=""),
        "clip": node("TAVLoadClip", **clip),
    }


def tune_on(name: str, run: str) -> Graph:
    links = {"model": ["demo", 0], "vae": ["demo", 2], "frames": ["clip", 0], "positive": ["source", 0]}
    return {**load(name), "tune": node("TAVOneShotTune", **{**links, **TUNE, "num_steps": 2, "run_name": run})}


def edit_on(name: str, motion: str) -> Graph:
    graph = {**motion_graph(motion), **load(name)}
    graph["encode"] = node("VAEEncode", pixels=["clip", 0], vae=["demo", 2])
    return graph


def control_on(name: str, motion: str, strength: float) -> Graph:
    """An edit under a ControlNet that holds the edges of each frame."""
    prompts = {"positive": ["source", 0], "negative": ["empty", 0]}
    control = {"control_net": ["net", 0], "image": ["edges", 0], "start_percent": 0.0, "end_percent": 1.0}
    start = {"latent": ["invert", 0], "trajectory": ["invert", 1]}
    guided = {"positive": ["guided", 0], "negative": ["guided", 1]}
    return {
        **changed(edit_on(name, motion), "decode", samples=["edit", 0]),
        "net": node("ControlNetLoader", control_net_name=CONTROLNET),
        "edges": node("Canny", image=["clip", 0], low_threshold=0.2, high_threshold=0.5),
        "guided": node("ControlNetApplyAdvanced", **prompts, **control, strength=strength),
        "edit": node("TAVSampleEdit", model=["apply", 0], **guided, **start, **{**EDIT, "num_steps": 2}),
    }


@pytest.fixture(scope="module")
def tuned(server, checkpoints):
    """A motion tuned on the first checkpoint."""
    shutil.copy(PACK / "demo" / "clip.mp4", server.base / "input" / "clip.mp4")
    client = server.connect()
    assert error_of(client.run(tune_on(checkpoints[0], "on_a"))) == ""
    client.close()
    return "on_a.safetensors"


@pytest.mark.parametrize("which", [0, 1])
def test_the_motion_goes_on_its_own_checkpoint_and_on_another(server, checkpoints, tuned, which):
    client = server.connect()
    before = server.log_text().count("tuned on other weights")
    done = client.run(edit_on(checkpoints[which], tuned))
    client.close()
    assert error_of(done) == ""
    assert len(done["outputs"]["show"]["images"]) == 3
    warned = server.log_text().count("tuned on other weights") - before
    assert warned == which, "another checkpoint is worth a line in the log, the same is not"


def test_another_family_is_refused_by_name(server, tuned):
    client = server.connect()
    message = error_of(client.run(motion_graph(tuned)))
    client.close()
    assert "Stable Diffusion 1.x" in message and "block_out_channels" in message, message


def test_strength_and_modes_reach_the_model(server, checkpoints, tuned):
    client = server.connect()
    graph = edit_on(checkpoints[1], tuned)
    graph["apply"]["inputs"].update({**APPLY, "strength": 0.5, "temporal_strength": 0.0, "attention": "full"})
    assert error_of(client.run(graph)) == ""
    client.close()


def test_a_controlnet_for_the_checkpoint_changes_every_frame(server, checkpoints, tuned):
    on, weaker, off = (show(server, control_on(checkpoints[0], tuned, s), "decode") for s in (1.0, 0.5, 0.0))
    assert len(on) == 3
    assert all_frames_differ(on, off) and all_frames_differ(on, weaker)
