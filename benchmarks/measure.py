"""Times one stage at one size in this process, and prints the figures as JSON: what bench.py starts for each.

A process of its own, because a process' peak memory cannot be set back, and so that running out of memory ends one
figure and not all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import torch

from .sizes import SIZES, build_denoiser, build_unet, random_inputs
from .stages import STAGES, Run

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def main(argv: list[str] | None = None) -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--device", required=True)
    parser.add_argument("--dtype", choices=DTYPES, required=True)
    parser.add_argument("--num-frames", type=int, required=True)
    parser.add_argument("--num-steps", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    args = parser.parse_args(argv)
    print(json.dumps(measure(**vars(args))))


def measure(
    *, size: str, stage: str, device: str, dtype: str, num_frames: int, num_steps: int, runs: int
) -> dict[str, object]:
    """Seconds of each run, peak memory in bytes (None where the system does not tell), and parameters in all."""
    unet = build_unet(SIZES[size])
    denoiser = build_denoiser(unet, device=device, dtype=DTYPES[dtype])
    latents, context = random_inputs(unet, SIZES[size], num_frames, device)
    run = STAGES[stage](denoiser, latents, context, num_steps)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = time_runs(run, runs=runs, device=device)
    return {
        "seconds": seconds,
        "median_seconds": statistics.median(seconds),
        "peak_bytes": peak_memory(device),
        "parameters": sum(p.numel() for p in denoiser.unet.parameters()),
        "parameters_2d": sum(p.numel() for p in unet.parameters()),
    }


def time_runs(run: Run, *, runs: int, device: str) -> list[float]:
    """Seconds of each of `runs` runs, after a warm-up that is not counted unless there is only one."""
    seconds = []
    for _ in range(runs + (runs > 1)):
        started = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return seconds[-runs:]


def peak_memory(device: str) -> int | None:
    """The most memory held at once, in bytes: of the GPU's tensors, or of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
