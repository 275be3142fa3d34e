"""One job by calls of the library: tune, invert, edit; for every line of stdin once more, with its seed.

Usage: python -m benchmarks.peer_job '{"threads": 1}', by ComfyUI's Python, so that both have the same PyTorch.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

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
from .peer_processes import JOB, MARK, ROOT

DEMO = ROOT / "demo"


def main() -> None:
    """Loads the demo's model and clip, and does the job until stdin ends."""
    torch.set_num_threads(json.loads(sys.argv[1])["threads"])
    job = Job()
    print(MARK + "{}", flush=True)
    for seed in map(int, sys.stdin):
        with tempfile.TemporaryDirectory() as folder:
            seconds, cpu_seconds = time_run(lambda seed=seed, folder=folder: job.run(seed, Path(folder)), "cpu")
        print(MARK + json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds}), flush=True)


class Job:
    """What is loaded once, as ComfyUI keeps the outputs of nodes whose inputs stay the same."""

    def __init__(self) -> None:
        self.models = load_checkpoint(DEMO / "creatures" / "model")
        self.frames = read_clip(DEMO / "clip.mp4", num_frames=8, width=128, height=128).frames
        self.source, self.empty, self.edited = (
            encode_prompt(self.models, text) for text in (JOB["source"], "", JOB["edited"])
        )

    def run(self, seed: int, folder: Path) -> torch.Tensor:
        """The edited frames, `f h w c`."""
        unet, schedule, vae = self.models.unet, self.models.schedule, self.models.vae
        clip = encode_frames(vae, self.frames)
        untuned = UNetDenoiser(unet=InflatedUNet.from_2d(unet), schedule=schedule)
        config = TuneConfig(num_steps=JOB["tune_steps"], precision="fp32", memory="speed", seed=seed)
        motion = tune(untuned, clip, self.source, config=config, state_path=folder / "run.safetensors")
        motion.save(folder / "motion.safetensors")
        tuned = UNetDenoiser(unet=motion.apply_to(unet), schedule=schedule)
        trajectory = invert(tuned, clip.mean, self.empty, num_steps=JOB["num_steps"], store="cpu")
        how = EditConfig(num_steps=JOB["num_steps"], guidance_scale=JOB["cfg"])
        return decode_latents(vae, edit(tuned, trajectory, self.edited, self.empty, config=how))


if __name__ == "__main__":
    main()
