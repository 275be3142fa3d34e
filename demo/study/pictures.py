"""Pictures that the demo draws: contact sheets, the loss curve of a tuning, the ablation's plot, enlarged frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

ENLARGE = 4
SHEET_SCALE = 2
GAP, LABEL_HEIGHT, FONT_SIZE = 6, 30, 20
PAPER, INK = "white", (30, 30, 30)
SMOOTHING = 20


def label_rows(rows: Mapping[str, np.ndarray], *, scale: int = SHEET_SCALE) -> Image:
    """A contact sheet: one row per video, its label above its frames, in the given order.

    Args:
        rows: label to frames, `f h w 3` in [0, 1]; all frames have one size, but the number of frames may differ.
        scale: each pixel becomes a square with this side.
    """
    from PIL import Image, ImageDraw, ImageFont

    pixels = [as_bytes(enlarge(frames, scale)) for frames in rows.values()]
    longest, (height, width) = max(map(len, pixels)), pixels[0].shape[1:3]
    step = LABEL_HEIGHT + height + GAP
    sheet = Image.new("RGB", (GAP + longest * (width + GAP), GAP + step * len(rows)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for row, (label, frames) in enumerate(zip(rows, pixels, strict=True)):
        top = GAP + row * step
        draw.text((GAP, top + LABEL_HEIGHT // 2), label, INK, font, anchor="lm")
        for column, frame in enumerate(frames):
            sheet.paste(Image.fromarray(frame), (GAP + column * (width + GAP), top + LABEL_HEIGHT))
    return sheet


def enlarge(frames: np.ndarray, scale: int = ENLARGE) -> np.ndarray:
    """`f h w 3` to `f (h scale) (w scale) 3`: every pixel becomes a square, with no smoothing."""
    return np.asarray(frames).repeat(scale, axis=1).repeat(scale, axis=2)


def as_bytes(frames: np.ndarray) -> np.ndarray:
    """Frames in [0, 1] as bytes."""
    return (np.clip(frames, 0, 1) * 255).round().astype(np.uint8)


def save_loss_curve(path: Path, losses: Sequence[float]) -> Path:
    """Draws the loss of each tuning step and its running mean, as a PNG.

    The loss of a single step says little: it depends far more on the timestep that was drawn than on the progress.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    steps = np.arange(1, len(losses) + 1)
    axes.plot(steps, losses, ".", color="0.75", markersize=4, label="one step")
    means = running_mean(losses, SMOOTHING)
    axes.plot(steps[len(steps) - len(means) :], means, color="tab:blue", label=f"mean of {SMOOTHING} steps")
    axes.set(xlabel="tuning step", ylabel="loss (mean squared error of the noise)", ylim=(0, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    return path


def save_ablation_plot(
    path: Path, rows: Mapping[str, Mapping[str, float]], spread: Mapping[str, Mapping[str, float]]
) -> Path:
    """Draws the shares that the variants reach, one group of bars per variant, with the spread over seeds, as a PNG."""
    from matplotlib.figure import Figure

    shares = ("edits_right", "path", "gait", "agreement", "kept", "background_kept")
    names = [name for name in shares if name in next(iter(rows.values()))]
    figure = Figure(figsize=(8, 0.65 * len(rows) + 1.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    height, places = 0.8 / len(names), np.arange(len(rows))
    for number, name in enumerate(names):
        values, errors = ([table[variant][name] for variant in rows] for table in (rows, spread))
        axes.barh(places + number * height, values, height, xerr=errors, label=name.replace("_", " "))
    axes.set_yticks(places + (len(names) - 1) / 2 * height, rows)
    axes.margins(y=0.01)
    axes.invert_yaxis()
    # A correlation of paths may be negative; not every world has one.
    axes.set(xlim=(min(0, *(row.get("path", 0) for row in rows.values())), 1), xlabel="share; correlation of paths")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.9 / (len(rows) + 2)), ncols=len(names))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    return path


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Means of every `window` consecutive values; if there are fewer values, the mean of all."""
    window = min(window, len(values))
    return np.convolve(values, np.ones(window) / window, mode="valid")
