"""Our pack beside others in one run on this CPU, measured in turn: `python -m benchmarks.peers step --peer FOLDER`.

step    a step of KSampler: ComfyUI alone, with a motion of ours, and with AnimateDiff-Evolved from the folder --peer
start   ComfyUI's start with and without the pack
job     a whole job, from the demo's files to the frames of an edit: by our nodes in a prompt, and by the library alone

COMFYUI_PATH names ComfyUI's folder and COMFYUI_PYTHON its Python. Seconds are those of the CPU, which other work on the
machine hardly affects, and medians; the peak is the most memory that a process held while it sampled.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .bench import ROOT, describe_machine
from .clocks import summarize
from .peer_jobs import JOB, compare_frames, format_parts, median_parts, open_jobs
from .peer_processes import Contestant
from .peer_start import time_starts

GOALS = {"ours to peer, time": 1.0, "ours to peer, peak": 1.0, "nodes to library, time": 1.05}
SECONDS = ("seconds", "cpu_seconds")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table for each comparison, and writes all as JSON."""
    args = parse(argv)
    comfy, python = where_comfyui_is()
    compare = {
        "step": lambda: compare_steps(args, comfy, python),
        "start": lambda: compare_starts(args, comfy, python),
        "job": lambda: compare_jobs(args, comfy, python),
    }
    results = []
    for name in args.what:
        results.append(compare[name]())
        print(f"\n{format_table(results[-1])}", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    told = {**describe_machine(), "threads": args.threads}
    args.out.write_text(json.dumps({"machine": told, "results": results}, indent=2) + "\n")
    return 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; exits with 2 if a comparison lacks its peer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="+", choices=("step", "start", "job"))
    parser.add_argument("--peer", type=Path, help="the folder of AnimateDiff-Evolved, for step")
    parser.add_argument("--num-frames", type=int, default=8, help="of a step's batch (default: %(default)s)")
    parser.add_argument("--pixels", type=int, default=256, help="its width and height (default: %(default)s)")
    parser.add_argument("--num-steps", type=int, default=1, help="of KSampler (default: %(default)s)")
    parser.add_argument(
        "--job-steps", type=int, default=20, help="of a job's inversion and edit (default: %(default)s)"
    )
    parser.add_argument("--tune-steps", type=int, default=40, help="of a job (default: %(default)s)")
    parser.add_argument("--cfg", type=float, default=1.0, help="more than 1 predicts twice (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each, after a warm-up (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "peers.json")
    args = parser.parse_args(argv)
    if "step" in args.what and not (args.peer and (args.peer / "animatediff").is_dir()):
        parser.error(f"step: --peer is {args.peer}, expected a checkout of ComfyUI-AnimateDiff-Evolved")
    return args


def where_comfyui_is() -> tuple[Path, Path]:
    """ComfyUI's folder and Python.

    Raises:
        SystemExit: the variables do not name them.
    """
    folder, python = (Path(os.environ.get(name, "")) for name in ("COMFYUI_PATH", "COMFYUI_PYTHON"))
    if not (folder / "main.py").is_file() or not python.is_file():
        sys.exit("Set COMFYUI_PATH to ComfyUI's folder, and COMFYUI_PYTHON to the Python that it is installed for.")
    return folder.resolve(), python.absolute()


def compare_steps(args: argparse.Namespace, comfy: Path, python: Path) -> dict[str, Any]:
    """KSampler's time and memory, each contestant in a process that lives to the end, in turn."""
    names = ("num_frames", "pixels", "num_steps", "cfg", "runs", "threads")
    settings = {name: getattr(args, name) for name in names}
    given = {**settings, "peer": str(args.peer.resolve())}
    with ExitStack() as opened:
        contestants, held = {}, {}
        for who in ("core", "ours", "peer"):
            contestants[who] = Contestant(python, "benchmarks.peer_step", {**given, "who": who}, comfy)
            opened.callback(contestants[who].close)
            held[who] = contestants[who].read()["held_bytes"]
        turns = run_in_turn(contestants, args.runs)
    rows = summarize_turns(turns)
    for who, row in rows.items():
        row |= {"held_bytes": held[who], "peak_bytes": turns[-1][who]["peak_bytes"]}
    return {"what": "step", "settings": settings, "rows": rows, "ratios": step_ratios(rows)}


def run_in_turn(contestants: Mapping[str, Any], runs: int) -> list[dict[str, dict[str, Any]]]:
    """The figures of each turn; the first is the warm-up."""
    return [{who: each.run(seed) for who, each in contestants.items()} for seed in range(runs + 1)]


def summarize_turns(turns: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Each contestant's seconds without the warm-up, and their medians."""
    rows = {}
    for who, warm_up in turns[0].items():
        rows[who] = summarize(*(tuple(turn[who][name] for turn in turns[1:]) for name in SECONDS))
        rows[who]["warm_up_cpu_seconds"] = warm_up["cpu_seconds"]
    return rows


def step_ratios(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """What the goals are for, and what each adds to ComfyUI alone."""
    ours, peer, core = (rows[who] for who in ("ours", "peer", "core"))
    return {
        "ours to peer, time": ours["median_cpu_seconds"] / peer["median_cpu_seconds"],
        "ours to peer, peak": ours["peak_bytes"] / peer["peak_bytes"],
        "ours to core, time": ours["median_cpu_seconds"] / core["median_cpu_seconds"],
        "peer to core, time": peer["median_cpu_seconds"] / core["median_cpu_seconds"],
    }


def compare_starts(args: argparse.Namespace, comfy: Path, python: Path) -> dict[str, Any]:
    """ComfyUI's start until its nodes are loaded, in turn."""
    turns = time_starts(comfy, python, ROOT, runs=args.runs)
    rows = {who: summarize(*zip(*times, strict=True)) for who, times in turns.items()}
    added = {name: rows["with"][name] - rows["without"][name] for name in ("median_seconds", "median_cpu_seconds")}
    settings = {"runs": args.runs, "threads": args.threads}
    return {"what": "start", "settings": settings, "rows": rows, "ratios": {}, "added": added}


def compare_jobs(args: argparse.Namespace, comfy: Path, python: Path) -> dict[str, Any]:
    """A whole job by our nodes and by the library alone, each in a process that lives to the end, in turn."""
    task = {"num_steps": args.job_steps, "tune_steps": args.tune_steps, "threads": args.threads}
    with open_jobs(comfy, python, task) as contestants:
        turns = run_in_turn(contestants, args.runs)
        apart = compare_frames(turns[-1])
    rows = summarize_turns(turns)
    return {
        "what": "job",
        "settings": {**JOB, **task, "runs": args.runs},
        "rows": rows,
        "parts": {who: median_parts(turns, who) for who in rows},
        "levels apart": apart,
        "ratios": job_ratios(rows),
    }


def job_ratios(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """What the goal is for; the fastest run of each is the one that other work disturbed least."""
    nodes, library = rows["nodes"], rows["library"]
    return {
        "nodes to library, time": nodes["median_cpu_seconds"] / library["median_cpu_seconds"],
        "nodes to library, fastest": min(nodes["cpu_seconds"]) / min(library["cpu_seconds"]),
    }


def format_table(result: Mapping[str, Any]) -> str:
    """A comparison as Markdown, with its ratios and whether they meet the goals."""
    settings = ", ".join(f"{name} {value}" for name, value in result["settings"].items())
    lines = [f"{result['what']}: {settings}", "", "| | CPU seconds | from | to | wall seconds | peak memory |"]
    lines += ["|---|---:|---:|---:|---:|---:|", *(format_row(*row) for row in result["rows"].items()), ""]
    lines += [format_ratio(name, ratio) for name, ratio in result["ratios"].items()]
    lines += [f"{name} added: {seconds:.2f}" for name, seconds in result.get("added", {}).items()]
    lines += ["", format_parts(result["parts"]), ""] if "parts" in result else []
    lines += [f"levels apart, {name}: {levels:.3f}" for name, levels in result.get("levels apart", {}).items()]
    return "\n".join(lines)


def format_row(who: str, row: Mapping[str, Any]) -> str:
    cpu, peak = row["cpu_seconds"], row.get("peak_bytes")
    memory = f"{peak / 2**30:.2f} GiB" if peak else ""
    numbers = (row["median_cpu_seconds"], min(cpu), max(cpu), row["median_seconds"])
    return f"| {who} | {' | '.join(f'{number:.2f}' for number in numbers)} | {memory} |"


def format_ratio(name: str, ratio: float) -> str:
    if name not in GOALS:
        return f"{name}: {ratio:.3f}"
    met = "met" if ratio <= GOALS[name] else "missed"
    return f"{name}: {ratio:.3f}, goal {GOALS[name]}: {met}"


if __name__ == "__main__":
    sys.exit(main())
