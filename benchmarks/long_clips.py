"""Measures memory and time of long clips in context windows: one process per figure. Prints a table and writes JSON.

    python -m benchmarks.long_clips                              # the demo model, 32 to 256 frames
    python -m benchmarks.long_clips --size small --frames 32 64 128 --stages invert
    python -m benchmarks.long_clips --size sd15 --frames 16 64 128 --stages generate --device cuda

`generate` makes a video from a prompt in chunks, with nothing tuned; the other stages work in windows over a clip. Time
is CPU time of one thread, so that other work on the machine hardly counts; on a GPU it is wall-clock time. Memory is
the peak of the process (on a GPU, of its tensors), and how much the stage added to it. `run` is how many frames the
UNet processed per frame of the clip and step; it is above 1 because windows overlap and frame 0 is put in front of
each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from tav_core import Conditioning
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.sampling.zero_shot.config import ZeroShotConfig
from tav_core.sampling.zero_shot.generate import generate
from tav_core.sampling.zero_shot.motion_field import MotionField
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.training_run import TuningRun

from .bench import ROOT, cpu_model
from .measure import peak_memory
from .sizes import SIZES, build_denoiser, build_unet, random_inputs
from .stages import GUIDANCE

STAGES = ("invert", "edit", "tune", "generate")
ROW = "{:>6} {:>7} {:>7} {:>10} {:>12} {:>10} {:>10} {:>6}"


class Counter:
    """A denoiser that counts the frames it processes."""

    def __init__(self, denoiser) -> None:
        self.denoiser, self.schedule, self.frames = denoiser, denoiser.schedule, 0

    def epsilon(self, latents: torch.Tensor, timestep: int, context: Conditioning) -> torch.Tensor:
        self.frames += latents.shape[0] * latents.shape[2]
        return self.denoiser.epsilon(latents, timestep, context)


def measure(size: str, stage: str, num_frames: int, num_steps: int, device: str) -> dict[str, float]:
    """Measures one stage in this process."""
    torch.set_num_threads(1)
    unet, dtype = build_unet(SIZES[size]), torch.float16 if device == "cuda" else torch.float32
    modes = {"attention": "first", "temporal": False} if stage == "generate" else {}
    plain = build_denoiser(unet, device=device, dtype=dtype, **modes)
    latents, context = random_inputs(unet, SIZES[size], num_frames, device)
    counter = Counter(plain)
    windowed = WindowedDenoiser(denoiser=counter, windows=ContextWindows())
    noise = latents.clone()
    runs: dict[str, Callable[[], object]] = {
        "invert": lambda: invert(windowed, latents, context, num_steps=num_steps, keep="ends"),
        "edit": lambda: edit(
            windowed, noise, context, context, config=EditConfig(num_steps=num_steps, guidance_scale=GUIDANCE)
        ),
        "tune": lambda: tune_by_windows(plain, latents, context, num_steps),
        "generate": lambda: generate_by_chunks(counter, context, SIZES[size].pixels, num_frames, num_steps),
    }
    clock = time.perf_counter if device == "cuda" else time.process_time
    before, started = peak_memory(device), clock()
    runs[stage]()
    return {
        "seconds": clock() - started,
        "peak_bytes": peak_memory(device),
        "added_bytes": peak_memory(device) - before,
        "frames_run": counter.frames,
    }


def tune_by_windows(denoiser, latents: torch.Tensor, context: torch.Tensor, num_steps: int) -> None:
    config = TuneConfig(num_steps=num_steps, window=ContextWindows().length)
    run = TuningRun(denoiser, latents, context, config=config)
    for _ in range(num_steps):
        run.advance()


def generate_by_chunks(denoiser, context: torch.Tensor, pixels: int, num_frames: int, num_steps: int) -> None:
    config = ZeroShotConfig(
        num_frames=num_frames, width=pixels, height=pixels, num_steps=num_steps, guidance_scale=GUIDANCE
    )
    generate(denoiser, context, context, config=config, motion=MotionField(move=(12 / num_frames, 0)))


def bench(size: str, stage: str, num_frames: int, num_steps: int, device: str) -> dict[str, object]:
    """The figures of one stage, measured in a process of its own."""
    given = size, stage, str(num_frames), str(num_steps), device
    command = [sys.executable, "-m", "benchmarks.long_clips", "--only", *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = {"size": size, "stage": stage, "num_frames": num_frames, "num_steps": num_steps}
    return {**told, **json.loads(done.stdout.splitlines()[-1])}


def format_result(result: dict) -> str:
    steps, frames = result["num_steps"], result["num_frames"]
    per_step = result["seconds"] / steps
    run = result["frames_run"] / (frames * steps * (2 if result["stage"] in ("edit", "generate") else 1))
    return ROW.format(
        result["size"],
        result["stage"],
        frames,
        f"{per_step:.3f}",
        f"{1000 * per_step / frames:.2f}",
        f"{result['peak_bytes'] / 2**20:.0f}",
        f"{result['added_bytes'] / 2**20:.0f}",
        f"{run:.2f}" if run else "",
    )


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else device


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table and writes JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_clips", description=__doc__.split(":")[0])
    parser.add_argument("--size", choices=SIZES, default="demo")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=[*STAGES])
    parser.add_argument("--frames", nargs="+", type=int, default=[32, 64, 128, 256])
    parser.add_argument("--num-steps", type=int, default=6)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "long_clips.json")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.only:
        size, stage, num_frames, num_steps, device = args.only
        print(json.dumps(measure(size, stage, int(num_frames), int(num_steps), device)))
        return 0
    print(ROW.format("size", "stage", "frames", "s/step", "ms/frame", "peak MiB", "added MiB", "run"))
    results = []
    for stage in args.stages:
        for num_frames in args.frames:
            results.append(bench(args.size, stage, num_frames, args.num_steps, args.device))
            print(format_result(results[-1]), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cpu": cpu_model(), "torch": torch.__version__, "threads": 1, "device": device_name(args.device)}
    args.out.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
