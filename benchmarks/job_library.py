"""The library alone does a whole job: a job for every line of stdin, its figures as a line of stdout.

Usage: python -m benchmarks.job_library '{"num_steps": 20, "base": "...", ...}'

It is the job of job_nodes.py, in the same Python, without anything of ComfyUI: the demo's model and clip are read, the
motion is tuned and written, the clip is inverted and edited, and the frames are written.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from tav_core.checkpoints.load import load_checkpoint
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.models.latents import decode_latents, encode_frames
from tav_core.models.text import encode_prompt
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.tune import tune
from tav_core.video.clip import read_clip

from .clocks import time_run
from .peer_processes import MARK, ROOT

MODEL, CLIP = ROOT / "demo" / "creatures" / "model", ROOT / "demo" / "clip.mp4"
# As ComfyUI's own SaveImage.
COMPRESS_LEVEL = 4


class Parts:
    """CPU seconds of the parts of a job, under the names of the nodes that do the same."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        self.seconds[name] = time.process_time() - begun


def do_job(task: dict[str, Any], folder: Path, parts: Parts) -> None:
    """From the demo's files to the frames of an edit, as PNG files in a folder."""
    with parts("demo"):
        model = load_checkpoint(MODEL)
        clip = read_clip(CLIP, num_frames=task["num_frames"], width=task["pixels"], height=task["pixels"])
    with parts("texts"):
        source, edited, empty = (encode_prompt(model, prompt) for prompt in (task["source"], task["edited"], ""))
    with parts("encode"):
        latents = encode_frames(model.vae, clip.frames).mean
    with parts("tune"):
        untuned = UNetDenoiser(unet=InflatedUNet.from_2d(model.unet), schedule=model.schedule)
        settings = {"learning_rate": task["learning_rate"], "seed": task["seed"], "save_every": task["save_every"]}
        config = TuneConfig(num_steps=task["tune_steps"], precision="fp32", memory="speed", **settings)
        motion = tune(untuned, latents, source, config=config, state_path=folder / "state.safetensors")
        motion.save(folder / "motion.safetensors")
    with parts("invert"):
        tuned = UNetDenoiser(unet=motion.apply_to(model.unet), schedule=model.schedule)
        trajectory = invert(tuned, latents, empty, num_steps=task["num_steps"])
    with parts("edit"):
        config = EditConfig(num_steps=task["num_steps"], guidance_scale=task["cfg"], seed=task["seed"])
        result = edit(tuned, trajectory, edited, empty, config=config)
    with parts("decode"):
        frames = decode_latents(model.vae, result)[0]
    with parts("save"):
        for number, frame in enumerate(frames):
            image = Image.fromarray((frame * 255).clamp(0, 255).byte().numpy())
            image.save(folder / f"{number:05}.png", compress_level=COMPRESS_LEVEL)


def main() -> None:
    """Reads its task, and does jobs until stdin ends."""
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    print(MARK + json.dumps({}), flush=True)
    for run, _ in enumerate(sys.stdin):
        folder, parts = Path(task["base"]) / f"run_{run}", Parts()
        folder.mkdir()
        seconds, cpu_seconds = time_run(lambda at=folder, parts=parts: do_job(task, at, parts), "cpu")
        told = {"seconds": seconds, "cpu_seconds": cpu_seconds, "parts": parts.seconds}
        print(MARK + json.dumps({**told, "frames": sorted(map(str, folder.glob("*.png")))}), flush=True)


if __name__ == "__main__":
    main()
