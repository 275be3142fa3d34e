"""What merging tokens saves of one prediction: `python -m benchmarks.merged_tokens`.

It counts the operations of a prediction with and without merging (roofline.py), matching and moving tokens included,
and the least seconds that they take on a card; `--slow-attention` counts attention at half of a card's rate, because
heads that are 40 wide do not fill its units. `--measure` runs a prediction on random weights here instead.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import torch

from demo.study.tables import markdown_table
from tav_core.denoisers.merged_tokens import merge_tokens
from tav_core.models.device_rates import DeviceRates, seconds_on
from tav_core.models.traffic import Operation

from .cards import CARDS
from .cases import Case
from .clocks import time_in_turn
from .count_memory import meta_denoiser, meta_inputs
from .process_memory import peak_bytes, reset_peak
from .roofline import counting_places
from .sizes import SIZES, Size
from .stages import TIMESTEP
from .workload import Workload


def count_prediction(size: Size, num_frames: int, ratio: float) -> list[Operation]:
    """The operations of one prediction in bf16, with a share of the tokens merged."""
    plain = meta_denoiser(size, torch.bfloat16)
    latents, context = meta_inputs(size, num_frames, plain.unet.config)
    denoiser = merge_tokens(plain, ratio)
    with counting_places() as traffic, torch.no_grad():
        denoiser.epsilon(latents, TIMESTEP, context)
    return traffic.operations


def saved(plain: Sequence[Operation], merged: Sequence[Operation], card: DeviceRates | None) -> float:
    """The share of the operations, or of the least seconds on a card, that merging saves."""
    whole, left = (
        sum(each.flops for each in operations) if card is None else seconds_on(operations, card)
        for operations in (plain, merged)
    )
    return 1 - left / whole


def slowed(card: DeviceRates) -> DeviceRates:
    """A card whose attention runs at half of its rate."""
    return replace(card, attention=card.half / 2)


def measure(size: str, pixels: int, num_frames: int, ratio: float) -> tuple[float, int]:
    """CPU seconds of one prediction in float32, and the peak memory of the process."""
    case = Case(size=size, stage="forward", device="cpu", dtype="fp32", num_frames=num_frames, pixels=pixels)
    work = Workload(case=case)
    denoiser = merge_tokens(work.denoiser, ratio)
    latents, context = work.latents, work.context
    reset_peak()
    with torch.no_grad():
        timed = time_in_turn({"one": lambda: denoiser.epsilon(latents, TIMESTEP, context)}, times=1, device="cpu")
    return timed["one"]["median_cpu_seconds"], peak_bytes()


def main(argv: Sequence[str] | None = None) -> None:
    """Prints what is saved at each size, or what one prediction takes here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="sd15")
    parser.add_argument("--pixels", type=int, nargs="+", default=[512, 768, 1024])
    parser.add_argument("--num-frames", type=int, default=24)
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--card", nargs="+", choices=CARDS, default=["h100", "4090", "3060"])
    parser.add_argument("--slow-attention", action="store_true", help="count attention at half of a card's rate")
    parser.add_argument("--measure", action="store_true", help="time one prediction of the first size here")
    args = parser.parse_args(argv)
    if args.measure:
        seconds, peak = measure(args.size, args.pixels[0], args.num_frames, args.ratio)
        print(f"{seconds:.1f} CPU seconds, peak {peak / 2**30:.2f} GiB")
        return
    cards = [slowed(CARDS[name]) if args.slow_attention else CARDS[name] for name in args.card]
    lines = []
    for size in (replace(SIZES[args.size], pixels=pixels) for pixels in args.pixels):
        plain, merged = (count_prediction(size, args.num_frames, ratio) for ratio in (0.0, args.ratio))
        lines.append([f"{size.pixels}", *(f"{saved(plain, merged, card):.0%}" for card in (None, *cards))])
    print(markdown_table(["pixels", "operations", *(card.name for card in cards)], lines))


if __name__ == "__main__":
    main()
