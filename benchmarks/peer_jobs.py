"""One whole job by the pack's nodes and by the library alone: what both are told, and how their results compare."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .peer_processes import Contestant

MODULES = {"nodes": "benchmarks.job_nodes", "library": "benchmarks.job_library"}
# The quickstart's prompts and rate, on the clip that comes with the pack in its own size.
JOB = {
    "source": "a bear is running in the snow",
    "edited": "an elephant is running in the snow",
    "num_frames": 8,
    "pixels": 128,
    "learning_rate": 1e-3,
    "cfg": 4.0,
    "seed": 33,
    "save_every": 100,
}
# What the nodes call otherwise than the library's job: its own parts, and ComfyUI's around the nodes.
SAME = {"source": "texts", "empty": "texts", "edited": "texts", "apply": "invert"}
Turns = Sequence[Mapping[str, Mapping[str, Any]]]


@contextmanager
def open_jobs(comfy: Path, python: Path, task: Mapping[str, Any]) -> Iterator[dict[str, Contestant]]:
    """A process for each, which does a job whenever it is told to; their files are gone at the end."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        contestants = {}
        for who, module in MODULES.items():
            base = Path(folder) / who
            base.mkdir()
            given = {**JOB, **task, "base": str(base)}
            contestants[who] = Contestant(python, module, given, comfy, base=base)
            opened.callback(contestants[who].close)
            contestants[who].read()
        yield contestants


def median_parts(turns: Turns, who: str) -> dict[str, float]:
    """Median CPU seconds of the parts of a job, without the warm-up; those of several nodes count for one part."""
    told: list[dict[str, float]] = []
    for turn in turns[1:]:
        told.append({})
        for name, seconds in turn[who]["parts"].items():
            part = SAME.get(name, name)
            told[-1][part] = told[-1].get(part, 0.0) + seconds
    return {part: statistics.median(each[part] for each in told) for part in told[0]}


def compare_frames(turn: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """How far apart the frames of both are, in levels of 0 to 255.

    Raises:
        RuntimeError: they are not as many, or of another size.
    """
    ours, theirs = ([read_levels(path) for path in turn[who]["frames"]] for who in MODULES)
    if not ours or [frame.shape for frame in ours] != [frame.shape for frame in theirs]:
        raise RuntimeError(f"{len(ours)} frames of the nodes, {len(theirs)} of the library, or of another size")
    apart = np.abs(np.stack(ours) - np.stack(theirs))
    return {"largest": float(apart.max()), "mean": float(apart.mean())}


def read_levels(path: str) -> np.ndarray:
    """A frame, `h w 3`, int16, so that differences have a sign."""
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.int16)


def format_parts(parts: Mapping[str, Mapping[str, float]]) -> str:
    """A table of the parts' median CPU seconds."""
    lines = [f"| part | {' | '.join(parts)} |", "|---|" + "---:|" * len(parts)]
    for part in dict.fromkeys(part for each in parts.values() for part in each):
        lines.append(f"| {part} | {' | '.join(f'{each.get(part, 0.0):.2f}' for each in parts.values())} |")
    return "\n".join(lines)
