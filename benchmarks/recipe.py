"""The original's whole recipe, 500 tuning, 50 inversion and 50 guided steps or a share of it, ours beside others.

    python -m benchmarks.recipe --share 0.02                                    # beside the plain twin
    python -m benchmarks.recipe --share 0.02 --original ../Tune-A-Video         # and beside a checkout of the original

All run in one process, in turn, on the same weights and inputs. A rival's UNet goes through the same loops of inversion
and sampling as ours, so what differs is the UNet, the attention in it, and the tuning step. A rival is inverted and
sampled with the weights that it began with, because values do not change the time. The VAE, which is the same for all,
is left out. Seconds are those of the CPU; a peak is the most that the process held during a part.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tav_core.models.conditioning import Conditioning, as_conditioning
from tav_core.models.schedule import NoiseSchedule
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.training_run import TuningRun

from .bench import ROOT, describe_machine
from .cases import Case
from .clocks import time_run
from .plain import plain_tuning
from .process_memory import peak_bytes, reset_peak
from .rivals import build_unet
from .sizes import SIZES
from .workload import Workload

# As in the original's configurations; its inference has a guidance of 12.5.
RECIPE = {"tune": 500, "invert": 50, "edit": 50}
GUIDANCE = 12.5
# The original's, which are not all of this pack's defaults.
MODES = {"attention": "sparse_causal", "group_norm": "clip"}
Parts = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class RivalDenoiser:
    """A rival's UNet as inversion and sampling take one."""

    unet: nn.Module
    schedule: NoiseSchedule

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning | Tensor) -> Tensor:
        with torch.no_grad():
            predicted = self.unet(latents, int(timestep), as_conditioning(context).text)
        return self.schedule.epsilon_from(predicted, latents, timestep)


def count_steps(share: float) -> dict[str, int]:
    """The steps of each part in a share of the recipe, at least one each."""
    return {part: max(1, round(share * steps)) for part, steps in RECIPE.items()}


def as_original(case: Case) -> Workload:
    """The inputs of a case, with ours in the original's modes, so that all compute the same."""
    work = Workload(case=case)
    work.denoiser.unet.set_modes(**MODES)
    return work


def our_parts(work: Workload, steps: Mapping[str, int]) -> Parts:
    """The recipe by the library: tuning, and inversion and edit with what was learned."""
    tuned = work.denoiser

    def learn() -> None:
        nonlocal tuned
        config = TuneConfig(num_steps=steps["tune"], precision=work.case.dtype, recompute=work.case.recompute)
        run = TuningRun(work.denoiser, work.latents, work.context, config=config)
        for _ in range(steps["tune"]):
            run.advance()
        tuned = replace(work.denoiser, unet=run.motion().apply_to(work.unet_2d))

    return {"tune": learn, **sampling_parts(lambda: tuned, work, steps)}


def rival_parts(unet: nn.Module, work: Workload, steps: Mapping[str, int]) -> Parts:
    """The recipe with a rival's UNet and its tuning step."""
    if work.case.recompute != "nothing":
        unet.enable_gradient_checkpointing()

    def learn() -> None:
        step = plain_tuning(unet, work.latents, work.context, dtype=torch.float32)
        for _ in range(steps["tune"]):
            step()

    denoiser = RivalDenoiser(unet, work.denoiser.schedule)
    return {"tune": learn, **sampling_parts(lambda: denoiser, work, steps)}


def sampling_parts(denoiser: Callable[[], Any], work: Workload, steps: Mapping[str, int]) -> Parts:
    """Inversion and edit with a denoiser, which is asked for when they begin; the edit starts from the inversion."""
    start: list[Any] = []
    config = EditConfig(num_steps=steps["edit"], guidance_scale=GUIDANCE)
    return {
        "invert": lambda: start.append(invert(denoiser(), work.latents, work.context, num_steps=steps["invert"])),
        "edit": lambda: edit(denoiser(), start.pop(), work.context, work.context, config=config),
    }


def measure(contestants: Mapping[str, Parts]) -> dict[str, dict[str, dict[str, float]]]:
    """CPU seconds and peak bytes of each part of each contestant, one part of all before the next."""
    rows: dict[str, dict[str, dict[str, float]]] = {who: {} for who in contestants}
    for part in RECIPE:
        for who, parts in contestants.items():
            gc.collect()
            reset_peak()
            _, cpu_seconds = time_run(parts[part], "cpu")
            rows[who][part] = {"cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes()}
    return rows


def format_table(rows: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown: the parts of each contestant, all of them, the peak, and how many times as long as ours that is."""
    lines = [f"| | {' | '.join(RECIPE)} | all, CPU seconds | peak memory | against ours |", "|---|" + "---:|" * 6]
    whole = {who: sum(part["cpu_seconds"] for part in parts.values()) for who, parts in rows.items()}
    for who, parts in rows.items():
        seconds = " | ".join(f"{parts[part]['cpu_seconds']:.1f}" for part in RECIPE)
        peak = max(part["peak_bytes"] for part in parts.values()) / 2**30
        lines.append(f"| {who} | {seconds} | {whole[who]:.1f} | {peak:.2f} GiB | {whole[who] / whole['ours']:.2f}x |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="demo", help="the model (default: %(default)s)")
    parser.add_argument("--num-frames", type=int, default=8)
    parser.add_argument("--pixels", type=int, help="width and height of the clip; default: the model's own")
    parser.add_argument("--share", type=float, default=0.02, help="of the recipe's steps (default: %(default)s)")
    parser.add_argument("--recompute", choices=("nothing", "blocks"), default="blocks", help="in tuning, for all")
    parser.add_argument("--original", type=Path, help="the folder of a checkout of the original Tune-A-Video")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "recipe.json")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    pixels, steps = args.pixels or SIZES[args.size].pixels, count_steps(args.share)
    work = as_original(Case(size=args.size, num_frames=args.num_frames, pixels=pixels, recompute=args.recompute))
    contestants = {"ours": our_parts(work, steps)}
    for name in ("plain", "original") if args.original else ("plain",):
        contestants[name] = rival_parts(build_unet(name, work, args.original), work, steps)
    rows = measure(contestants)
    print(f"{args.size}, {args.num_frames} frames of {pixels}x{pixels}, steps {steps}\n\n{format_table(rows)}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    told = {"machine": describe_machine(), "size": args.size, "steps": steps, "rows": rows}
    args.out.write_text(json.dumps({**told, "num_frames": args.num_frames, "pixels": pixels}, indent=2) + "\n")


if __name__ == "__main__":
    main()
