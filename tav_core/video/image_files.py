"""Reads frames that Pillow handles better than ffmpeg does: animated WebP and folders of pictures."""

from __future__ import annotations

import re
import struct
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..cancelling import cancellable
from ..errors import ClipError
from .timeline import Timeline
from .to_rgb import WHITE, lay_over

DEFAULT_FPS = 8
"""Frames per second of a folder of pictures; the original saves its results at this rate."""

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def pictures_in(folder: Path) -> Iterator[Path]:
    """The pictures directly in a folder, by their endings, in any order; hidden files are skipped."""
    return (item for item in folder.iterdir() if item.suffix.lower() in PICTURE_ENDINGS and item.name[0] != ".")


class PictureSource:
    """The attributes that a WebP and a folder share with `decode.VideoFile`: square pixels, no rotation."""

    pixel_aspect, rotation, frames_decoded, behind = 1.0, 0, 0, WHITE

    def __init__(self, path: Path, timeline: Timeline) -> None:
        self.path, self.timeline = path, timeline


class WebPFile(PictureSource):
    """An animated (or still) WebP; ffmpeg before 2025 cannot read the animated ones."""

    def __init__(self, path: Path) -> None:
        # Browsers show a frame of 10 ms or less for 100 ms.
        held = [duration if duration > 10 else 100 for duration in webp_durations(path.read_bytes())]
        ticks = [0, *accumulate(held[:-1])]
        still_rate = (Fraction(1000, held[0]) if held else Fraction(DEFAULT_FPS),) if len(ticks) == 1 else ()
        super().__init__(path, Timeline(ticks=ticks, tick=Fraction(1, 1000), stated_rates=still_rate))

    def images(self, positions: Sequence[int]) -> Generator[Image.Image, None, None]:
        """Yields the RGB picture of each position (not decreasing), over the colour `behind`."""
        with _explained(self.path), Image.open(self.path) as file:
            for position in cancellable(positions):
                file.seek(position)
                image = to_rgb(file, self.behind)
                self.frames_decoded += 1
                yield image


class StillFile(PictureSource):
    """A picture of its own, which ffmpeg would not turn as its EXIF says, or not read at all."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Timeline(ticks=[0], tick=1 / Fraction(DEFAULT_FPS)))

    def images(self, positions: Sequence[int]) -> Generator[Image.Image, None, None]:
        """Yields the RGB picture for each position, turned as its EXIF says, over the colour `behind`."""
        for _ in cancellable(positions):
            yield read_picture(self.path, self.behind)
            self.frames_decoded += 1


def is_still(path: Path) -> bool:
    """Whether a file is a JPEG, PNG or BMP that does not move. Further pictures that a JPEG may hold are no frames."""
    try:
        # Named, because Pillow loads all that it knows before it gives a video up.
        with Image.open(path, formats=("JPEG", "PNG", "BMP")) as opened:
            return opened.format != "PNG" or not opened.is_animated
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


class ImageFolder(PictureSource):
    """A folder of pictures of one size, in natural order (frame2 before frame10); hidden files are skipped."""

    def __init__(self, path: Path, fps: float) -> None:
        self.files = sorted(pictures_in(path), key=_natural)
        if not self.files:
            raise ClipError(
                got=f"the folder {path} without a picture in it",
                expected=f"frames as {', '.join(PICTURE_ENDINGS)}",
                mend="Choose the folder that directly contains the frames.",
            )
        super().__init__(path, Timeline(ticks=range(len(self.files)), tick=1 / Fraction(fps).limit_denominator(1001)))

    def images(self, positions: Sequence[int]) -> Generator[Image.Image, None, None]:
        """Yields the RGB picture at each position, turned as its EXIF says, over the colour `behind`.

        Raises:
            ClipError: a picture cannot be read, or differs in size from the first.
        """
        size = None
        for position in cancellable(positions):
            file = self.files[position]
            image = read_picture(file, self.behind)
            self.frames_decoded += 1
            size = size or image.size
            if image.size != size:
                raise ClipError(
                    got=f"{file.name} of {image.width}x{image.height} pixels in {self.path}",
                    expected=f"{size[0]}x{size[1]} as in the frames before it",
                    mend="Keep only frames of one clip in the folder.",
                )
            yield image


def read_picture(path: Path, behind: tuple[int, int, int, int] = WHITE) -> Image.Image:
    """The RGB picture in a file, turned as its EXIF says, over a colour.

    Raises:
        ClipError: it cannot be read.
    """
    with _explained(path), Image.open(path) as opened:
        return to_rgb(ImageOps.exif_transpose(opened), behind)


def to_rgb(image: Image.Image, behind: tuple[int, int, int, int]) -> Image.Image:
    """Converts a picture of any mode to 8-bit RGB, over a colour; 16-bit greys and floats in [0, 1] are scaled.

    Raises:
        ValueError: floats out of [0, 1], whose white nobody knows.
    """
    if image.mode == "F":
        values = np.asarray(image)
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ValueError("floats that are not all from 0 to 1")
        return Image.fromarray((values * 255).round().astype(np.uint8)).convert("RGB")
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.float32) / 257
        return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return lay_over(behind, image.convert("RGBA"))
    return image.convert("RGB")


def webp_durations(data: bytes) -> list[int]:
    """Milliseconds of each frame of an animated WebP, read from its ANMF chunks without decoding; [] for a still."""
    durations, place = [], 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind == b"ANMF" and place + 24 <= len(data):
            # X, Y, width, height and duration are 24 bits each: the duration starts 12 bytes in.
            durations.append(int.from_bytes(data[place + 20 : place + 23], "little"))
        place += 8 + size + size % 2
    return durations


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ClipError(
            got=f"{path}, which cannot be read as a picture ({error})",
            expected="an undamaged picture",
            mend="Copy or export it again.",
        ) from error
