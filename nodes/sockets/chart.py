"""The pictures that the cockpit and Compare Videos draw, with Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

SIZE = (512, 300)
MARGIN, TEXT, FONT_SIZE = 10, 26, 18
PAPER, AXIS, DOT, LINE, INK = (250, 250, 250), (200, 200, 200), (190, 205, 225), (30, 100, 200), (40, 40, 40)
SMOOTHING, BAR = 20, 6
LABEL_LINES, LABEL_MARGIN = 3, 6


def draw_chart(
    losses: Sequence[float],
    *,
    last: int,
    facts: Sequence[str],
    strip: np.ndarray | None,
    share: float | None = None,
) -> Image.Image:
    """Draws the loss of each step and its running mean, with lines of facts above and a preview below.

    Args:
        losses: the loss of every step so far.
        last: the step at the right end of the axis.
        facts: lines of text; one that is too wide is broken at a space.
        strip: the preview's frames, `f h w 3` in [0, 1]; None for no preview.
        share: how much of what is going on is done, in [0, 1], shown as a bar at the top; None for no bar.
    """
    width, height = SIZE
    rows = [] if strip is None else [strip_image(strip, width - 2 * MARGIN)]
    sheet = Image.new("RGB", (width, height + sum(row.height + MARGIN for row in rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    lines = [line for fact in facts for line in break_line(fact, font, width - 2 * MARGIN)]
    for number, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + number * TEXT), line, INK, font)
    if share is not None:
        draw.rectangle((0, 0, width, BAR), fill=AXIS)
        draw.rectangle((0, 0, round(width * share), BAR), fill=LINE)
    box = (MARGIN, MARGIN + max(len(lines), 1) * TEXT, width - MARGIN, height - MARGIN)
    draw.rectangle(box, outline=AXIS)
    if losses:
        plot(draw, losses, box, last=last)
    for row in rows:
        sheet.paste(row, (MARGIN, height))
    return sheet


def break_line(text: str, font: Any, width: int) -> list[str]:
    """A text in lines that are at most `width` pixels wide, broken at spaces."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def plot(draw: ImageDraw.ImageDraw, losses: Sequence[float], box: tuple[int, ...], *, last: int) -> None:
    """Draws a dot per step and a line for their mean. A single loss says little: it depends on the timestep drawn."""
    left, top, right, bottom = box
    highest = max(losses) or 1.0
    across = left + (right - left) * np.arange(len(losses)) / max(last - 1, 1)
    heights = lambda values: bottom - (bottom - top) * 0.95 * np.asarray(values) / highest  # noqa: E731
    for x, y in zip(across, heights(losses), strict=True):
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=DOT)
    window = min(SMOOTHING, len(losses))
    means = np.convolve(losses, np.ones(window) / window, mode="valid")
    if len(means) > 1:
        draw.line(list(zip(across[window - 1 :], heights(means), strict=True)), LINE, 2)
    small = ImageFont.load_default(FONT_SIZE - 4)
    draw.text((left + 4, top + 2), f"{highest:.3g}", INK, small)
    draw.text((right - 4, bottom - 2), str(last), INK, small, anchor="rd")
    draw.text((left + 4, bottom - 2), "1", INK, small, anchor="ld")


def strip_image(frames: np.ndarray, width: int) -> Image.Image:
    """Frames side by side, fitted to a width."""
    joined = np.concatenate(list(frames), axis=1)
    picture = Image.fromarray((joined.clip(0, 1) * 255).round().astype(np.uint8))
    return picture.resize((width, max(1, round(picture.height * width / picture.width))))


def break_label(text: str, width: int, most: int = LABEL_LINES) -> list[str]:
    """A label in as many lines as it needs at a width, but no more than `most`; the last one holds all that is left."""
    font, lines, words = ImageFont.load_default(FONT_SIZE), [], text.split()
    while words and len(lines) < most - 1:
        count = 1
        while count < len(words) and font.getlength(" ".join(words[: count + 1])) <= width - 2 * LABEL_MARGIN:
            count += 1
        lines.append(" ".join(words[:count]))
        words = words[count:]
    return [*lines, " ".join(words)] if words or not lines else lines


def draw_label(text: str, width: int, *, most: int = 1) -> np.ndarray:
    """A label as a picture `h w 3` in [0, 1] with room for `most` lines; what does not fit in is cut off."""
    sheet = Image.new("RGB", (width, most * TEXT), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for row, line in enumerate(break_label(text, width, most)):
        draw.text((LABEL_MARGIN, row * TEXT + TEXT // 2), line, INK, font, anchor="lm")
    return np.asarray(sheet, dtype=np.float32) / 255


def to_image(picture: Image.Image) -> Tensor:
    """A picture as an IMAGE, `1 h w c` in [0, 1]."""
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None]
