"""Times the stages on this machine, prints a table and writes JSON.

Every setting takes one value or several, and each combination is timed: `--num-frames 8 16 --dtype fp32 bf16`.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import torch

from . import rivals
from .cases import Case, add_options, as_record, list_cases
from .table import heading, lines

ROOT = Path(__file__).resolve().parent.parent


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmarks; returns 1 if any figure failed."""
    args = parse(argv)
    machine = describe_machine()
    print("\n".join(f"{name:>8}  {value}" for name, value in machine.items()), f"\n\n{heading()}")
    results = []
    for case in list_cases({field.name: getattr(args, field.name) for field in fields(Case)}):
        results.append(bench(case, args))
        print("\n".join(lines(results[-1])), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
    print(f"\nwritten to {args.out}")
    return int(any("error" in result for result in results))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python run.py bench", description=__doc__)
    add_options(parser)
    parser.add_argument("--plain", action="store_true", help="also time a plain twin of the original's maths")
    parser.add_argument("--original", type=Path, help="also time the original Tune-A-Video in this folder")
    parser.add_argument("--profile", action="store_true", help="list the heaviest operations")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "bench.json")
    return parser.parse_args(argv)


def bench(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """One figure, measured in a process of its own."""
    named = [name for name, wanted in zip(rivals.RIVALS, (args.plain, args.original), strict=True) if wanted]
    options = {
        "case": as_record(case),
        "rivals": named if case.stage in rivals.STAGES else [],
        "original": args.original and str(args.original.resolve()),
        "profile": args.profile,
    }
    command = [sys.executable, "-m", "benchmarks.measure", json.dumps(options)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    result: dict[str, Any] = {"settings": options["case"]}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {**result, "error": f"exit status {done.returncode}: {last}"}
    return {**result, **json.loads(done.stdout.splitlines()[-1])}


def describe_machine() -> dict[str, object]:
    """The machine: what figures depend on besides their settings."""
    return {
        "date": date.today().isoformat(),
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cpu": cpu_model(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "torch": torch.__version__,
    }


def cpu_model() -> str:
    """The processor's name, or the best that this system reports."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        if names:
            return names[0]
    return platform.processor() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
