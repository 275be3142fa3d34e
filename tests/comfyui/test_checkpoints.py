"""Checkpoints through core's own loader: a motion tuned on one goes on another of its family, and on no other one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.comfyui.graphs import APPLY, TUNE, Graph, motion_graph, node
from tests.comfyui.server import PACK, error_of

SCRIPT = Path(__file__).parent / "make_checkpoint.py"
SIDE = 64


@pytest.fixture(scope="module")
def checkpoints(comfyui, server):
    """Two checkpoints with other weights, of core's Stable Diffusion 1.5."""
    environment = {
        **os.environ,
        "COMFYUI_PATH": str(comfyui.path),
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    names = ["a.safetensors", "b.safetensors"]
    for seed, name in enumerate(names):
        path = server.base / "models" / "checkpoints" / name
        done = subprocess.run(
            [comfyui.python, SCRIPT, path, str(seed)], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr[-3000:]
    yield names
    for name in names:
        (server.base / "models" / "checkpoints" / name).unlink()


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
