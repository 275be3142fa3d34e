"""Times one figure in this process and prints it as JSON; bench.py starts this once per figure.

Each figure has its own process because a process's peak memory cannot be reset, and so that running out of memory
loses one figure and not all of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tav_core.models.precision import DTYPES

from .cases import Case, from_record
from .clocks import time_in_turn, time_run, working_seconds
from .flops import stage_flops
from .operations import heaviest_operations
from .rates import measure_rates
from .rivals import build_rival
from .stages import STAGES, Run
from .workload import Workload


def main(argv: list[str] | None = None) -> None:
    """Takes a case and the options of `measure` as one JSON object, and prints one."""
    (text,) = sys.argv[1:] if argv is None else argv
    options = json.loads(text)
    print(json.dumps(measure(from_record(options.pop("case")), **options)))


def measure(
    case: Case, *, rivals: tuple[str, ...] = (), original: str | None = None, profile: bool = False
) -> dict[str, Any]:
    """Times a case.

    Args:
        rivals: "plain", "original": timed in turn with ours, on the same weights and inputs. Only the stages in
            `rivals.STAGES` have rivals.
        original: the folder of the original's checkout.
        profile: list the heaviest operations of one more run.

    Returns:
        What `time_in_turn` returns; `warm_up_seconds` (None without a warm-up); `peak_bytes` (of the tensors on a GPU,
        else of the process; None if the system does not report it); `flops` of the stage; `flops_per_second`; the
        machine's `rates` and the `shares` of them that were reached; `parameters` of the UNet; `rivals` and
        `operations` if asked for.
    """
    torch.set_num_threads(case.threads)
    if case.limit_gb and case.device == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, case.limit_gb * 1e9 / total))
    work = Workload(case=case)
    ours = {"ours": STAGES[case.stage](work)}
    warm_up = warm(ours["ours"], case)
    # A single run is timed before any rival is built, because the rival's memory would count as ours.
    timed = time_in_turn(ours, times=1, device=case.device) if warm_up is None else {}
    peak = peak_memory(case.device)
    others = {name: build_rival(name, work, original and Path(original)) for name in rivals}
    for rival in others.values():
        warm(rival, case)
    timed |= time_in_turn(others if timed else ours | others, times=case.runs, device=case.device)
    figures = {**timed.pop("ours"), "warm_up_seconds": warm_up, "peak_bytes": peak}
    figures |= achieved(case, figures)
    if "unet_2d" in vars(work):
        figures["parameters"] = sum(p.numel() for p in work.denoiser.unet.parameters())
    if timed:
        figures["rivals"] = {name: compare(figures, rival) for name, rival in timed.items()}
    return figures | ({"operations": heaviest_operations(ours["ours"], case.device)} if profile else {})


def warm(run: Run, case: Case) -> float | None:
    """Seconds of a run before the timed ones; None if the case wants a single run."""
    return time_run(run, case.device)[0] if case.runs > 1 or case.compile else None


def achieved(case: Case, timed: Mapping[str, Any]) -> dict[str, Any]:
    """Operations per second, and their share of the machine's best rates, measured in the same process."""
    flops, rates = stage_flops(case), measure_rates(case.device, DTYPES[case.dtype], channels_last=case.channels_last)
    rate = flops / working_seconds(timed, case.device)
    return {
        "flops": flops,
        "flops_per_second": flops / timed["median_seconds"],
        "rates": rates,
        "shares": {name: rate / best for name, best in rates.items()},
    }


def compare(ours: Mapping[str, Any], rival: dict[str, Any]) -> dict[str, Any]:
    """A rival's figures, and how many times as long it takes on each clock."""
    ratio, cpu_ratio = (rival[name] / ours[name] for name in ("median_seconds", "median_cpu_seconds"))
    return {**rival, "ratio": ratio, "cpu_ratio": cpu_ratio}


def peak_memory(device: str) -> int | None:
    """The most memory held at once so far, in bytes: of the GPU's tensors, or of this process."""
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
