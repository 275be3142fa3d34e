"""A counted floor of the time of each stage: `python -m benchmarks.roofline --size sd15 --card h100 4090 3060`.

Every operation of the library's own code is counted on tensors without values. It takes at least its
floating point operations over the card's rate, and at least its bytes over the card's bandwidth; the larger of both is
its floor. What starts and schedules kernels is not counted, and no card reaches its published rates. `--card here`
measures the rates of this machine, and then the stage itself beside its floor.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import torch
import torch.nn.functional as F
from torch.utils.module_tracker import ModuleTracker

from tav_core.layouts import VAE_FACTOR
from tav_core.models.device_rates import DeviceRates, floor_of, seconds_on
from tav_core.models.precision import DTYPES
from tav_core.models.traffic import Operation, Traffic
from tav_core.tuning.memory_plan import Recompute

from .cards import CARDS
from .cases import Case
from .clocks import time_in_turn, working_seconds
from .count_memory import meta_denoiser, meta_inputs, meta_tuning
from .rates import measure_more_rates, measure_rates
from .sizes import SIZES, Size, build_vae
from .stages import STAGES as STAGE_RUNS
from .stages import TIMESTEP
from .workload import Workload

STAGES = ("forward", "guided-step", "tune-step", "encode", "decode")
# Copies that a better order of the values, or another kernel, would do without.
AVOIDABLE = ("layout copy", "cast", "keys joined", "slices' gradients", "norm read again")
# Where operations of a backward pass count as called.
BACKWARD = "backward"
Row = tuple[float, float, float]


def count_stage(
    stage: str, size: Size, num_frames: int, dtype: torch.dtype, recompute: Recompute | None = None
) -> list[Operation]:
    """The operations of a stage.

    Args:
        recompute: for a tuning step, what it computes again in its backward pass; None for nothing.
    """
    if stage in ("encode", "decode"):
        return count_autoencoder(stage, size, num_frames, dtype)
    if stage == "tune-step":
        return count_tuning(size, num_frames, dtype, recompute)
    denoiser = meta_denoiser(size, dtype)
    latents, context = meta_inputs(size, num_frames, denoiser.unet.config, videos=2 if stage == "guided-step" else 1)
    with counting_places() as traffic, torch.no_grad():
        denoiser.epsilon(latents, TIMESTEP, context)
    return traffic.operations


def count_tuning(size: Size, num_frames: int, dtype: torch.dtype, recompute: Recompute | None) -> list[Operation]:
    """The operations of an optimizer step that is not the first."""
    nothing = Recompute(what="nothing", num_levels=0)
    set_up, clip = meta_tuning(size, num_frames, dtype, recompute or nothing)
    with torch.enable_grad():
        run = set_up()
        for _ in range(2):
            with counting_places() as traffic:
                run.loss(clip, torch.empty_like(clip), TIMESTEP).backward()
                run.optimizer.step()
            run.optimizer.zero_grad()
    return traffic.operations


def count_autoencoder(stage: str, size: Size, num_frames: int, dtype: torch.dtype) -> list[Operation]:
    """The operations of the VAE, which takes one frame after the other."""
    with torch.device("meta"):
        vae = build_vae(size).to(dtype)
        frame = torch.empty((1, 3, size.pixels, size.pixels), dtype=dtype)
        latents = torch.empty((1, 4, size.pixels // VAE_FACTOR, size.pixels // VAE_FACTOR), dtype=dtype)
    with counting_places() as traffic, torch.no_grad():
        vae.encode(frame) if stage == "encode" else vae.decode(latents)
    return traffic.operations * num_frames


@contextmanager
def counting_places() -> Iterator[Traffic]:
    """Counts operations, each with the path of the module that calls it, or `BACKWARD`."""
    with ModuleTracker() as modules:

        def where() -> str:
            return BACKWARD if torch._C._current_graph_task_id() != -1 else max(modules.parents, key=len)

        traffic = Traffic(where)
        with mock.patch.object(F, "scaled_dot_product_attention", traffic.attention), traffic:
            yield traffic


def by_kind(operations: Iterable[Operation], card: DeviceRates) -> dict[str, Row]:
    """Operations, bytes and seconds of each kind, the slowest kind first."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for each in operations:
        for at, value in enumerate((each.flops, each.moved, floor_of(each, card))):
            sums[each.kind][at] += value
    return {kind: tuple(row) for kind, row in sorted(sums.items(), key=lambda item: -item[1][2])}


def avoidable_bytes(operations: Iterable[Operation]) -> dict[str, int]:
    """Bytes that would not have to be moved, by why they are."""
    sums = dict.fromkeys(AVOIDABLE, 0)
    for each in operations:
        reason = why_avoidable(each)
        if reason:
            sums[reason] += each.moved // 3 if reason == "norm read again" else each.moved
    return sums


def why_avoidable(operation: Operation) -> str | None:
    """Why an operation's bytes would not have to be moved, or None."""
    if operation.kind in ("layout copy", "cast"):
        return operation.kind
    if operation.kind == "joining" and ".attn" in operation.module:
        return "keys joined"
    if operation.name in ("slice_backward", "select_backward"):
        return "slices' gradients"
    return "norm read again" if operation.name.startswith("native_group_norm") else None


def print_stage(stage: str, operations: list[Operation], card: DeviceRates) -> None:
    """Prints a stage's floor, and where it lies."""
    total = seconds_on(operations, card)
    moved = sum(each.moved for each in operations)
    spared = avoidable_bytes(operations)
    print(f"\n{stage} on {card.name}: at least {format_seconds(total)}")
    for kind, (flops, bytes_, seconds) in by_kind(operations, card).items():
        print(f"  {kind:16} {flops / 1e12:9.3f} TFLOP {bytes_ / 1e9:9.2f} GB {seconds / total:7.1%} of the time")
    told = ", ".join(f"{reason} {amount / moved:.1%}" for reason, amount in spared.items())
    print(f"  avoidable: {sum(spared.values()) / moved:.1%} of {moved / 1e9:.1f} GB ({told})")


def format_seconds(seconds: float) -> str:
    """Milliseconds below a second."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def this_machine(device: str, dtype: torch.dtype) -> DeviceRates:
    """The rates of this machine, measured."""
    rates = measure_rates(device, dtype) | measure_more_rates(device, dtype)
    product = rates["matmul"]
    return DeviceRates(
        name=f"this machine ({device})",
        half=product,
        full=product,
        bandwidth=rates["bandwidth"],
        convolution=rates["convolution"],
        attention=rates["attention"],
    )


def measure_stage(stage: str, args: argparse.Namespace, device: str) -> float:
    """Seconds that a stage takes here: on a CPU, its CPU seconds, which other work does not change."""
    case = Case(
        size=args.size,
        stage=stage,
        device=device,
        dtype=args.dtype,
        num_frames=args.num_frames,
        pixels=args.pixels,
        recompute="nothing",
        threads=torch.get_num_threads(),
    )
    run = STAGE_RUNS[stage](Workload(case=case))
    run()
    return working_seconds(time_in_turn({"ours": run}, times=args.runs, device=device)["ours"], device)


def main() -> None:
    """Prints the floors that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="sd15")
    parser.add_argument("--card", nargs="+", choices=[*CARDS, "here"], default=["h100", "4090", "3060"])
    parser.add_argument("--stage", nargs="+", choices=STAGES, default=["forward", "tune-step", "decode"])
    parser.add_argument("--num-frames", type=int, default=24)
    parser.add_argument("--runs", type=int, default=3, help="of a stage that is measured here, after a warm-up")
    parser.add_argument("--pixels", type=int, help="width and height (default: the model's)")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    args = parser.parse_args()
    args.pixels = args.pixels or SIZES[args.size].pixels
    size, dtype = replace(SIZES[args.size], pixels=args.pixels), DTYPES[args.dtype]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    cards = {name: this_machine(device, dtype) if name == "here" else CARDS[name] for name in args.card}
    for stage in args.stage:
        operations = count_stage(stage, size, args.num_frames, dtype)
        for name, card in cards.items():
            print_stage(stage, operations, card)
            if name == "here":
                measured = measure_stage(stage, args, device)
                share = seconds_on(operations, card) / measured
                print(f"  measured: {format_seconds(measured)}; the floor is {share:.0%} of it")


if __name__ == "__main__":
    main()
