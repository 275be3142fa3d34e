"""How time and memory grow with a clip's frames, its size, the prompts, and the clips of a session.

    python -m benchmarks.growth                     # counted at full size, measured on the demo's model
    python -m benchmarks.growth --axis clips        # one of them

Frames and sizes are counted on tensors without values, for Stable Diffusion 1.5 in bf16: the floating point operations
and the bytes moved of a prediction and of a tuning step, and the peak of their memory. Prompts, clips and, if asked,
frames are measured on the demo's model, in CPU time of one thread and in memory that the process holds. A slope is that
of the logarithms, between the two largest rows and over all: 1 is linear growth.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tav_core.models.latents import decode_latents, encode_frames
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.memory_plan import MODES
from tav_core.tuning.tune import tune

from .bench import ROOT
from .cases import Case
from .count_memory import count_forward, count_tuning
from .growth_frames import measured_frames
from .roofline import count_stage
from .sizes import SIZES
from .workload import Workload

AXES = {
    "frames": (8, 16, 32, 64, 128, 256),
    "size": (256, 384, 512, 768, 1024),
    "measured-frames": (8, 16, 32, 64, 128, 256),
    "prompts": (1, 2, 4, 8, 16),
    "clips": (1, 2, 5, 10, 20, 50),
}
# What the axes that are not varied have.
FRAMES, PIXELS, STEPS = 24, 512, 2
DTYPE = torch.bfloat16
Row = dict[str, float]


def counted(num_frames: int, pixels: int) -> Row:
    """TFLOP, GB moved and GB at the peak, of a prediction without guidance and of a tuning step, for sd15."""
    size, row = replace(SIZES["sd15"], pixels=pixels), {}
    for name, stage in (("predict", "forward"), ("tune", "tune-step")):
        operations = count_stage(stage, size, num_frames, DTYPE, MODES["balanced"])
        row[f"{name} TFLOP"] = sum(each.flops for each in operations) / 1e12
        row[f"{name} moved GB"] = sum(each.moved for each in operations) / 1e9
    row["predict peak GB"] = count_forward(size, num_frames, DTYPE, videos=1)["peak"] / 1e9
    row["tune peak GB"] = count_tuning(size, num_frames, DTYPE, recompute=MODES["balanced"])["peak"] / 1e9
    return row


def measured_prompts(num_prompts: int) -> Row:
    """CPU seconds of an edit of the demo's model, and the memory that it added."""
    work = Workload(case=Case(size="demo", num_frames=8, pixels=96))
    found = invert(work.denoiser, work.latents, work.context, num_steps=STEPS)
    texts = work.context.expand(num_prompts, -1, -1)
    run = lambda: edit(work.denoiser, found, texts, work.context, config=EditConfig(num_steps=STEPS))  # noqa: E731
    run()
    return {"edit s": seconds(run), "result MB": run().nbytes / 1e6}


def measured_clips(counts: Sequence[int]) -> Iterable[tuple[int, Row]]:
    """One session that tunes on, inverts, edits and decodes one clip after the other: CPU seconds of all so far, and
    the memory that the process holds then.
    """
    work = Workload(case=Case(size="demo", num_frames=8, pixels=96))
    config, spent = EditConfig(num_steps=STEPS), 0.0
    # Built before the first clip.
    work.vae, work.denoiser, work.context  # noqa: B018
    for clip in range(1, max(counts) + 1):
        generator = torch.Generator().manual_seed(clip)
        frames = torch.rand((8, 96, 96, 3), generator=generator)

        def job(frames: torch.Tensor = frames) -> torch.Tensor:
            latents = encode_frames(work.vae, frames)
            motion = tune(work.denoiser, latents, work.context, config=TuneConfig(num_steps=STEPS))
            tuned = replace(work.denoiser, unet=motion.apply_to(work.unet_2d))
            found = invert(tuned, latents.mean, work.context, num_steps=STEPS)
            return decode_latents(work.vae, edit(tuned, found, work.context, work.context, config=config))

        spent += seconds(job)
        if clip in counts:
            gc.collect()
            yield clip, {"all jobs s": spent, "objects": float(len(gc.get_objects())), "held MB": held_memory() / 1e6}


def held_memory() -> int:
    """Bytes that this process holds in memory now."""
    import psutil

    return psutil.Process().memory_info().rss


def seconds(run: Callable[[], object]) -> float:
    """CPU seconds of a function."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


def slope(rows: dict[int, Row], name: str, first: int, last: int) -> float:
    """The slope of the logarithms of a column between two rows."""
    return math.log(rows[last][name] / rows[first][name]) / math.log(last / first)


def measure(axis: str, values: Sequence[int]) -> dict[int, Row]:
    """The rows of an axis."""
    runs: dict[str, Callable[[int], Row]] = {
        "frames": lambda value: counted(value, PIXELS),
        "size": lambda value: counted(FRAMES, value),
        "measured-frames": measured_frames,
        "prompts": measured_prompts,
    }
    if axis == "clips":
        return dict(measured_clips(values))
    return {value: runs[axis](value) for value in values}


def format_table(axis: str, rows: dict[int, Row]) -> str:
    """A table in Markdown, with the slopes below."""
    names, values = list(next(iter(rows.values()))), list(rows)
    lines = [f"| {axis} | {' | '.join(names)} |", "|---:" * (len(names) + 1) + "|"]
    lines += [f"| {value} | {' | '.join(f'{rows[value][name]:.3g}' for name in names)} |" for value in values]
    for title, first, last in (("slope, all", values[0], values[-1]), ("slope, end", values[-2], values[-1])):
        lines.append(f"| {title} | {' | '.join(f'{slope(rows, name, first, last):.2f}' for name in names)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the tables, and writes them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--axis", nargs="+", choices=AXES, default=["frames", "size", "prompts", "clips"])
    parser.add_argument("--most", type=int, default=1024, help="the largest value of an axis")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "growth.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tables = {}
    for axis in args.axis:
        tables[axis] = measure(axis, [value for value in AXES[axis] if value <= args.most])
        print(f"\n{format_table(axis, tables[axis])}", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(tables, indent=2) + "\n")


if __name__ == "__main__":
    main()
