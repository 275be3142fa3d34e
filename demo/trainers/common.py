"""What the training stages share: paths of their outputs, the log, the learning rate schedule, the training stills."""

import csv
import math
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..world.captions import caption
from ..world.stills import random_scene
from ..world.world import Scene, render

HERE = Path(__file__).resolve().parents[1]
MODEL = HERE / "model"
LOG = HERE / "training" / "log.csv"
CACHE = HERE.parent / "out" / "demo_training"
SEED = 20221222
NUM_STILLS = 16000
CAPTIONS_PER_STILL = 4
_CHUNK = 500


class Log:
    """Appends rows (stage, step, what, value, seconds) to the log and prints them with the remaining time."""

    def __init__(self, stage: str, num_steps: int, path: Path = LOG):
        self.stage, self.num_steps, self.start, self.path = stage, num_steps, time.monotonic(), path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text("stage,step,what,value,seconds\n")

    def write(self, step: int, first: int = 0, **values: float) -> None:
        """Log `values` at `step` of a run whose first step was `first`."""
        seconds = time.monotonic() - self.start
        with self.path.open("a", newline="") as file:
            rows = [(self.stage, step, what, f"{value:.6g}", f"{seconds:.0f}") for what, value in values.items()]
            csv.writer(file, lineterminator="\n").writerows(rows)
        left = seconds / max(1, step - first) * (self.num_steps - step)
        shown = " ".join(f"{what} {value:.5g}" for what, value in values.items())
        print(f"{self.stage} {step}/{self.num_steps} {shown} | {seconds:.0f} s, {left:.0f} s left", flush=True)


def learning_rate(step: int, num_steps: int, peak: float, warm_up: int) -> float:
    """Linear warm-up over `warm_up` steps to `peak`, then a cosine to zero at `num_steps`."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, num_steps - warm_up)))


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set every group's learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value


def save_state(path: Path, state: Any) -> None:
    """Writes a course's state, or tensors, atomically: an interrupted write leaves the old file."""
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def speed_up_group_norm() -> None:
    """Give 4-d group norms contiguous memory in this process: on a CPU their backward pass is about five times slower
    on the channels-last memory that convolutions like (torch 2.13)."""
    plain = nn.GroupNorm.forward

    def forward(self, hidden):
        if hidden.dim() != 4:
            return plain(self, hidden)
        return plain(self, hidden.contiguous()).contiguous(memory_format=torch.channels_last)

    nn.GroupNorm.forward = forward


def _describe_chunk(index: int) -> list[tuple[Scene, list[str]]]:
    rng = np.random.default_rng([SEED, index])
    described = []
    for _ in range(_CHUNK):
        scene = random_scene(rng)
        described.append((scene, [caption(scene, rng) for _ in range(CAPTIONS_PER_STILL)]))
    return described


def _make_chunk(index: int) -> tuple[np.ndarray, list[list[str]]]:
    described = _describe_chunk(index)
    pictures = [(render(scene) * 255).round().astype(np.uint8) for scene, _ in described]
    return np.stack(pictures), [captions for _, captions in described]


def training_scenes() -> list[Scene]:
    """The scenes of the training stills, in order."""
    return [scene for index in range(NUM_STILLS // _CHUNK) for scene, _ in _describe_chunk(index)]


def load_stills() -> tuple[np.ndarray, list[list[str]]]:
    """The training stills, uint8 `n h w c`, and CAPTIONS_PER_STILL captions of each; rendered once, then cached."""
    pictures_at, captions_at = CACHE / "stills.npy", CACHE / "captions.txt"
    if not captions_at.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            chunks = list(pool.map(_make_chunk, range(NUM_STILLS // _CHUNK)))
        np.save(pictures_at, np.concatenate([pictures for pictures, _ in chunks]))
        lines = ["\t".join(row) for _, captions in chunks for row in captions]
        captions_at.write_text("\n".join(lines))
    return np.load(pictures_at, mmap_mode="r"), [row.split("\t") for row in captions_at.read_text().split("\n")]
