"""An invisible mark in every frame: a short text that is still there when a video was encoded again.

The package invisible-watermark writes and reads it (its method dwtDctSvd: singular values of blocks of the wavelet's
low band). Its faster dwtDct is lost in H.264 at CRF 23. The text is padded to `TEXT_BYTES` and has a checksum, so that
noise is not taken for a mark; all frames that are read vote on every bit.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cancelling import cancellable
from ..errors import ConfigError
from .sizes import check_frames

METHOD = "dwtDctSvd"
TEXT_BYTES, CHECKSUM_BYTES = 6, 2
NUM_BITS = 8 * (TEXT_BYTES + CHECKSUM_BYTES)
# The package refuses smaller pictures, which have too few blocks to repeat the bits in.
LEAST_PIXELS = 256 * 256
# A mark that survived is clear after a few frames; reading one of 512x512 takes 0.2 s.
FRAMES_TO_READ = 12


class Marker:
    """Puts a text into frames, one at a time: `h w 3` uint8 RGB in and out.

    Args:
        text: at most `TEXT_BYTES` bytes of UTF-8, such as a name or a number.

    Raises:
        ConfigError: the text is empty or too long, or the package invisible-watermark is not installed.
    """

    def __init__(self, text: str) -> None:
        check_text(text)
        self.encoder = load_package().WatermarkEncoder()
        self.encoder.set_watermark("bits", to_bits(text))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        check_size(pixels.shape[0], pixels.shape[1])
        # The package works on BGR.
        marked = self.encoder.encode(np.ascontiguousarray(pixels[..., ::-1]), METHOD)
        return np.ascontiguousarray(marked[..., ::-1])


def mark_frames(frames: Tensor, text: str) -> Tensor:
    """Frames with an invisible mark, rounded to 8 bits as every video file rounds them.

    Args:
        frames: `f h w 3` in [0, 1], of at least 256x256.
        text: see `Marker`.

    Raises:
        ConfigError: see `Marker`; or the frames are too small.
        InputError: these are no frames.
    """
    marker = Marker(text)
    frames = check_frames(frames, channels=3)
    check_size(*frames.shape[1:3])
    pixels = (to_pixels(frame) for frame in cancellable(frames))
    return torch.stack([torch.from_numpy(marker(frame)).float() / 255 for frame in pixels])


def read_mark(frames: Iterable[np.ndarray | Tensor]) -> str | None:
    """The text that was put into frames; None if there is none, or none that can be read.

    Args:
        frames: each `h w 3` RGB, floats in [0, 1] or uint8; or all in one array or tensor, as `mark_frames` gives them.

    Raises:
        ConfigError: the package invisible-watermark is not installed.
        InputError: these are no frames.
    """
    decoder = load_package().WatermarkDecoder("bits", NUM_BITS)
    votes = [
        np.asarray(decoder.decode(np.ascontiguousarray(pixels[..., ::-1]), METHOD), dtype=np.float64)
        for pixels in map(read_pixels, frames)
        if pixels.shape[0] * pixels.shape[1] >= LEAST_PIXELS
    ]
    return from_bits(np.mean(votes, axis=0) > 0.5) if votes else None


def read_pixels(frame: np.ndarray | Tensor) -> np.ndarray:
    """One frame of either kind as uint8; an array is copied, since a picture's own cannot be written to."""
    own = np.array(frame) if isinstance(frame, np.ndarray) else frame
    return to_pixels(check_frames(own[None], channels=3)[0])


def to_pixels(frame: Tensor) -> np.ndarray:
    """A frame in [0, 1], or of bytes, as uint8."""
    if frame.dtype != torch.uint8:
        frame = frame.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(frame.detach().cpu().numpy())


def check_text(text: str) -> None:
    """Raises `ConfigError` unless a text can be a mark."""
    length = len(text.encode("utf-8", "replace"))
    if not 0 < length <= TEXT_BYTES or not text.isprintable():
        raise ConfigError(
            got=f"a watermark of {length} bytes, {text[:40]!r}",
            expected=f"1 to {TEXT_BYTES} bytes of UTF-8: more would not survive",
            mend="Use a short name or a number, and keep what it stands for elsewhere.",
        )


def check_size(height: int, width: int) -> None:
    """Raises `ConfigError` for frames that are too small to be marked."""
    if height * width < LEAST_PIXELS:
        raise ConfigError(
            got=f"a watermark for frames of {width}x{height}",
            expected="at least as many pixels as 256x256",
            mend="Make larger frames, or leave the watermark out.",
        )


def to_bits(text: str) -> list[int]:
    """A text and its checksum as bits."""
    padded = text.encode("utf-8", "replace").ljust(TEXT_BYTES, b"\0")
    return np.unpackbits(np.frombuffer(padded + checksum(padded), np.uint8)).tolist()


def from_bits(bits: np.ndarray) -> str | None:
    """The text in bits, one of which may be wrong; None unless the checksum is its own."""
    one_changed = np.eye(NUM_BITS, dtype=bool) ^ bits.astype(bool)
    return next((text for row in (bits, *one_changed) if (text := check_bits(row)) is not None), None)


def check_bits(bits: np.ndarray) -> str | None:
    """The text in bits; None if it has another checksum, or letters that no text has."""
    found = np.packbits(bits.astype(np.uint8)).tobytes()
    padded, own = found[:TEXT_BYTES], found[TEXT_BYTES:]
    try:
        text = padded.rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text and text.isprintable() and checksum(padded) == own else None


def checksum(text: bytes) -> bytes:
    # Another start than 0, by which a picture without blocks would be a mark without letters.
    return binascii.crc_hqx(text, 0xFFFF).to_bytes(CHECKSUM_BYTES, "big")


def load_package() -> Any:
    """The package invisible-watermark.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import imwatermark
    except ImportError as error:
        raise ConfigError(
            got=f"a watermark without the package invisible-watermark ({error})",
            expected="it, because it writes and reads the mark",
            mend="Install it: pip install invisible-watermark.",
        ) from error
    return imwatermark
