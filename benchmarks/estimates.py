"""Holds the estimate of a run's time against what its steps take here: `python -m benchmarks.estimates`.

Prints, for a prediction and a tuning step, the seconds that the library estimates before a run and those measured, in
CPU time of one thread, so that other work on the machine hardly counts; on a GPU in wall-clock time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable

import torch

from tav_core.models.conditioning import as_conditioning
from tav_core.models.device_rates import measure_device, seconds_on
from tav_core.models.precision import DTYPES
from tav_core.models.step_time import FLOOR_SHARE, count_prediction
from tav_core.models.traffic import Operation
from tav_core.tuning.step_time import count_tuning_step
from tav_core.tuning.training_run import TuningRun

from .cases import Case
from .clocks import time_in_turn, working_seconds
from .sizes import SIZES
from .stages import TIMESTEP, tune_config
from .workload import Workload

ROW = "{:6} {:>16} {:22} {:>10} {:>10} {:>7}"


def stages(case: Case) -> dict[str, tuple[Iterable[Operation], Callable[[], object]]]:
    """Each stage's counted operations, and what runs it."""
    work = Workload(case=case)
    context, run = (
        as_conditioning(work.context),
        TuningRun(work.denoiser, work.latents, work.context, config=tune_config(work, num_steps=1)),
    )
    predict = torch.no_grad()(lambda: work.denoiser.epsilon(work.latents, TIMESTEP, context))
    return {
        "prediction": (count_prediction(work.denoiser.unet, work.latents.shape, context), predict),
        f"tune-step, {case.recompute}": (count_tuning_step(run), run.advance),
    }


def main() -> None:
    """Prints a line for each stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--num-frames", type=int, default=8)
    parser.add_argument("--pixels", type=int, help="width and height (default: the model's)")
    parser.add_argument("--recompute", default="nothing")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--runs", type=int, default=3, help="of each stage; the first is a warm-up if there are more")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    pixels = args.pixels or SIZES[args.size].pixels
    case = Case(
        size=args.size,
        device=device,
        dtype=args.dtype,
        num_frames=args.num_frames,
        pixels=pixels,
        recompute=args.recompute,
    )
    clock = time.process_time if device == "cpu" else time.perf_counter
    print(ROW.format("size", "clip", "stage", "estimated", "measured", "ratio"))
    for name, (operations, run) in stages(case).items():
        rates = measure_device(torch.device(device), DTYPES[args.dtype], clock=clock)
        estimated = seconds_on(operations, rates) / FLOOR_SHARE
        if args.runs > 1:
            run()
        timed = time_in_turn({"ours": run}, times=max(args.runs - 1, 1), device=device)["ours"]
        measured = working_seconds(timed, device)
        clip = f"{args.num_frames} of {pixels}x{pixels}"
        ratio = f"{estimated / measured:.2f}"
        print(ROW.format(args.size, clip, name, f"{estimated:.3f} s", f"{measured:.3f} s", ratio), flush=True)


if __name__ == "__main__":
    main()
