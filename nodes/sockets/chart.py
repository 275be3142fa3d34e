"""The pictures that the cockpit and Compare Videos draw, with Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
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
# For letters that Pillow's own font lacks: what Windows, macOS and Linux come with, or are given for Chinese, Japanese
# and Korean. Pillow looks for these names in the system's folders.
SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-zenhei.ttc",
    "arial.ttf",
    "msyh.ttc",
    "malgun.ttf",
    "YuGothM.ttc",
    "Arial Unicode.ttf",
    "PingFang.ttc",
    "AppleSDGothicNeo.ttc",
)
# A code point that is no character: every font draws its box for missing letters.
NO_CHARACTER = "\uffff"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


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
    """A label in as many lines as it needs at a width, but no more than `most`; the last one holds all that is left.

    Lines end between words, and within a word that is wider than a line, as in scripts that have no spaces.
    """
    text = " ".join(text.split())
    font, lines = font_for(text), []
    while text and len(lines) < most - 1:
        length = fitting(text, font, width - 2 * LABEL_MARGIN)
        lines.append(text[:length].rstrip())
        text = text[length:].lstrip()
    return [*lines, text] if text or not lines else lines


def fitting(text: str, font: Font, room: int) -> int:
    """How many letters of a text make its first line: all that fit in, up to the last space if there is one."""
    count = 1
    while count < len(text) and font.getlength(text[: count + 1]) <= room:
        count += 1
    if count < len(text) and text[count] != " ":
        count = text.rfind(" ", 0, count) + 1 or count
    return count


def draw_label(text: str, width: int, *, most: int = 1) -> np.ndarray:
    """A label as a picture `h w 3` in [0, 1] with room for `most` lines; what does not fit in is cut off."""
    sheet = Image.new("RGB", (width, most * TEXT), PAPER)
    draw, font = ImageDraw.Draw(sheet), font_for(text)
    for row, line in enumerate(break_label(text, width, most)):
        draw.text((LABEL_MARGIN, row * TEXT + TEXT // 2), line, INK, font, anchor="lm")
    return np.asarray(sheet, dtype=np.float32) / 255


def font_for(text: str) -> Font:
    """The first font that has every letter of a text; where none has, the one that lacks the fewest."""
    letters = set("".join(text.split()))
    own = ImageFont.load_default(FONT_SIZE)
    return min([own, *system_fonts()], key=lambda font: sum(lacks(font, letter) for letter in letters))


@lru_cache
def system_fonts() -> tuple[Font, ...]:
    """Those of `SYSTEM_FONTS` that are there."""
    found = []
    for name in SYSTEM_FONTS:
        try:
            found.append(ImageFont.truetype(name, FONT_SIZE))
        except OSError:
            continue
    return tuple(found)


def lacks(font: Font, letter: str) -> bool:
    """Whether a font draws its box for missing letters instead of a letter."""
    return bytes(font.getmask(letter)) == bytes(font.getmask(NO_CHARACTER))


def to_image(picture: Image.Image) -> Tensor:
    """A picture as an IMAGE, `1 h w c` in [0, 1]."""
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None]
