"""How long ComfyUI takes until its nodes are loaded, with and without the pack."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from .peer_processes import environment

# ComfyUI ends itself once everything is loaded.
OPTIONS = ("--cpu", "--quick-test-for-ci", "--disable-api-nodes", "--database-url", "sqlite:///:memory:")
Times = dict[str, list[tuple[float, float]]]


def time_starts(comfy: Path, python: Path, pack: Path, *, runs: int) -> Times:
    """Wall and CPU seconds of `runs` starts each, in turn, after one of each that is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        bases = {who: Path(folder) / who for who in ("without", "with")}
        for base in bases.values():
            (base / "custom_nodes").mkdir(parents=True)
        (bases["with"] / "custom_nodes" / "tune_a_video").symlink_to(pack, target_is_directory=True)
        turns = [{who: time_start(comfy, python, base) for who, base in bases.items()} for _ in range(runs + 1)]
    return {who: [turn[who] for turn in turns[1:]] for who in bases}


def time_start(comfy: Path, python: Path, base: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one start, whose bytecode is kept in `base`, as an installed pack's is.

    Raises:
        RuntimeError: it failed, or the pack did; the message is the end of the log.
    """
    command = [str(python), "main.py", *OPTIONS, "--base-directory", str(base)]
    began, worked = time.perf_counter(), children_seconds()
    told = environment(comfy, bytecode=base / "bytecode")
    done = subprocess.run(command, cwd=comfy, env=told, capture_output=True, text=True)
    took = time.perf_counter() - began, children_seconds() - worked
    if done.returncode or "IMPORT FAILED" in done.stdout + done.stderr:
        raise RuntimeError(f"ComfyUI did not start:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    return took


def children_seconds() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    import resource

    used: Any = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
