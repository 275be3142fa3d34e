"""The results of the demo: the table on the screen, and the folder of videos, pictures and scores."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tav_core import write_video

from .pictures import enlarge, label_rows, save_loss_curve
from .tables import without_nan


def save_results(
    out: Path,
    *,
    source: tuple[str, np.ndarray],
    edits: Mapping[str, np.ndarray],
    scores: Mapping[str, Any],
    losses: list[float],
    fps: float,
    about: Mapping[str, Any],
) -> None:
    """Writes source.mp4, a video for each edit, contact_sheet.png, loss_curve.png and scores.json.

    Args:
        source: the source's prompt and frames, `f h w 3` in [0, 1].
        edits: prompt to frames.
        scores: prompt to scores.
        losses: the loss of each tuning step.
        about: further entries for scores.json.
    """
    prompt, frames = source
    write_video(out / "source.mp4", enlarge(frames), fps=fps)
    for edited, video in edits.items():
        write_video(out / f"{edited.replace(' ', '-')}.mp4", enlarge(video), fps=fps)
    rows = {f"source: {prompt}": frames, **{f"edit: {edited}": video for edited, video in edits.items()}}
    label_rows(rows).save(out / "contact_sheet.png")
    save_loss_curve(out / "loss_curve.png", losses)
    listed = [{"prompt": edited, **as_json(each)} for edited, each in scores.items()]
    (out / "scores.json").write_text(json.dumps({"edits": listed, **about}, indent=2) + "\n")


def as_json(scores: Any) -> dict[str, float | bool | None]:
    """Scores for JSON: rounded, with null for nan."""
    rounded = {name: round(value, 4) for name, value in dataclasses.asdict(scores).items()}
    return {"edit_right": scores.edit_right, **without_nan(rounded)}


def format_table(scores: Mapping[str, Any]) -> str:
    """A table with one row per edit: whether it is right, how well it follows the source's path, its flicker."""
    width = max(map(len, scores))
    head = f"{'prompt':{width}}  edit right  path correlation  flicker"
    lines = [
        f"{prompt:{width}}  {'yes' if each.edit_right else 'no':3} {f'({each.right:.0%})':>6}  "
        f"{each.path:16.3f}  {each.flicker:7.4f}"
        for prompt, each in scores.items()
    ]
    return "\n".join([head, "-" * len(head), *lines])
