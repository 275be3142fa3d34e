"""One row of the growth with a clip's frames, measured on the demo's model in this process: `... growth_frames 64`.

A row has a process of its own, so that what an earlier one held or left behind is not in its peak. Linux only.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import torch

from .bench import ROOT
from .cases import Case
from .clocks import time_run
from .process_memory import peak_bytes, reset_peak
from .stages import STAGES
from .workload import Workload

# In the order of the memory that they need.
MEASURED = {"predict": "forward", "decode": "decode", "tune step": "tune-step"}
# A stage of fewer frames runs several times, and its fastest run counts: the first one sets PyTorch up.
FRAMES_IN_ALL = 16
PIXELS = 64


def measured_frames(num_frames: int) -> dict[str, float]:
    """CPU seconds and the peak of the memory of each stage, measured in a new process.

    Raises:
        RuntimeError: it ended without figures; the message is its last line.
    """
    command = [sys.executable, "-m", "benchmarks.growth_frames", str(num_frames)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def measure_row(num_frames: int) -> dict[str, float]:
    """The same, in this process; a tuning step recomputes blocks."""
    work = Workload(case=Case(size="demo", num_frames=num_frames, pixels=PIXELS, recompute="blocks"))
    row, peaks = {}, {}
    for name, stage in MEASURED.items():
        gc.collect()
        reset_peak()
        run = STAGES[stage](work)
        row[f"{name} s"] = min(time_run(run, "cpu")[1] for _ in range(1 + FRAMES_IN_ALL // num_frames))
        peaks[f"{name} peak MB"] = peak_bytes() / 1e6
        del run
    return row | peaks


def main() -> None:
    """Prints a row as JSON."""
    torch.set_num_threads(1)
    print(json.dumps(measure_row(int(sys.argv[1]))))


if __name__ == "__main__":
    main()
