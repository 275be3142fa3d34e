"""Times the stages at three sizes on this machine: prints a table and writes JSON. `python run.py bench --help`."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch

from .sizes import SIZES
from .stages import STAGES

ROOT = Path(__file__).resolve().parent.parent


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmarks; returns 1 if a figure could not be had."""
    args = parse(argv)
    machine = describe_machine(args)
    print("\n".join(f"{name:>8}  {value}" for name, value in machine.items()), "\n")
    print(format_row("size", "stage", "frames", "seconds", "peak memory", "parameters"))
    results = []
    for size in args.sizes:
        for stage in args.stages:
            results.append(bench(args, size, stage))
            print(format_result(results[-1]), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
    print(f"\nwritten to {args.out}")
    return int(any("error" in result for result in results))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python run.py bench", description=__doc__.split(":")[0])
    gpu = torch.cuda.is_available()
    sizes = [*SIZES] if gpu else ["demo", "small"]
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=sizes, help="sd15 takes minutes a run on a CPU")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=[*STAGES])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if gpu else "cpu")
    parser.add_argument("--dtype", choices=("fp32", "fp16", "bf16"), help="of the weights: fp32 on a CPU, else fp16")
    parser.add_argument("--num-frames", type=int, help="8 for demo and small; for sd15 4 on a CPU, else 24")
    parser.add_argument("--num-steps", type=int, default=5, help="of the inversion and the edit (default: 5)")
    parser.add_argument("--runs", type=int, help="timed after a warm-up; 1 is a single run without one")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "bench.json")
    args = parser.parse_args(argv)
    args.dtype = args.dtype or ("fp32" if args.device == "cpu" else "fp16")
    return args


def bench(args: argparse.Namespace, size: str, stage: str) -> dict[str, object]:
    """The figures of one stage at one size, from a process of its own."""
    settings = {
        "device": args.device,
        "dtype": args.dtype,
        "num_frames": args.num_frames or SIZES[size].num_frames[args.device != "cpu"],
        "num_steps": args.num_steps,
        "runs": args.runs or (SIZES[size].runs if args.device == "cpu" else 5),
    }
    options = [text for name, value in settings.items() for text in ("--" + name.replace("_", "-"), str(value))]
    command = [sys.executable, "-m", "benchmarks.measure", size, stage, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    result = {"size": size, "stage": stage, "pixels": SIZES[size].pixels, **settings}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {**result, "error": f"exit status {done.returncode}: {last}"}
    return {**result, **json.loads(done.stdout.splitlines()[-1])}


def describe_machine(args: argparse.Namespace) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "date": date.today().isoformat(),
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cpu": cpu_model(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "dtype": args.dtype,
    }


def cpu_model() -> str:
    """The processor's name, as well as this system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        if names:
            return names[0]
    return platform.processor() or "unknown"


def format_result(result: dict) -> str:
    stage = result["stage"] + (f" x{result['num_steps']}" if result["stage"] in ("invert", "edit") else "")
    frames = f"{result['num_frames']} of {result['pixels']}x{result['pixels']}"
    if "error" in result:
        return format_row(result["size"], stage, frames, "failed", result["error"], "")
    peak = result["peak_bytes"]
    memory = "unknown" if peak is None else f"{peak / 2**30:.2f} GiB"
    return format_row(
        result["size"],
        stage,
        frames,
        f"{result['median_seconds']:.3f}",
        memory,
        f"{result['parameters'] / 1e6:.1f} M",
    )


def format_row(*cells: str) -> str:
    widths = (6, 23, 13, 9, 12, 10)
    aligned = [
        cell.ljust(width) if i < 2 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned)


if __name__ == "__main__":
    sys.exit(main())
