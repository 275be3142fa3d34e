"""An invisible mark in every frame: a short text that is still there when a video was encoded again.

The package invisible-watermark writes and reads it (its method dwtDctSvd: singular values of blocks of the wavelet's
low band). Its faster dwtDct is lost in H.264 at CRF 23. The text is padded to `TEXT_BYTES` and has a checksum, so that
noise is not taken for a mark; all blocks of all frames that are read vote on every bit.

The package repeats the bits along the rows of blocks, so that 64 bits would stand in columns of a picture of 512
pixels, and a white wall would take its columns' bits away. So they are moved on here every four rows, see `place_bits`.
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
# A block of the package's method is 4x4 numbers of a wavelet's low band, and so 8x8 pixels.
BLOCK = 8
# Rows that hold the same bits: 32 pixels, the height of two macroblocks. H.264 takes away what changes with each row.
BAND = 4
# Bands begin this many bits apart: about 64 over the golden ratio squared, so that few bands hold every bit everywhere.
BAND_STEP = 25
# The method moves colours by up to 7 of 255, mostly blue. Where that would leave the range, a bit of one kind is lost.
ROOM = 8
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
        self.bits = np.array(to_bits(text))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        check_size(pixels.shape[0], pixels.shape[1])
        self.encoder.set_watermark("bits", self.bits[place_bits(*pixels.shape[:2])].tolist())
        # The package works on BGR.
        with_room = np.ascontiguousarray(pixels[..., ::-1].clip(ROOM, 255 - ROOM))
        marked = self.encoder.encode(with_room, METHOD)
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
    package = load_package()
    votes, ones = np.zeros(NUM_BITS), np.zeros(NUM_BITS)
    for pixels in map(read_pixels, frames):
        if pixels.shape[0] * pixels.shape[1] < LEAST_PIXELS:
            continue
        places = place_bits(*pixels.shape[:2])
        found = package.WatermarkDecoder("bits", len(places)).decode(np.ascontiguousarray(pixels[..., ::-1]), METHOD)
        votes += np.bincount(places, minlength=NUM_BITS)
        ones += np.bincount(places, weights=found, minlength=NUM_BITS)
    return from_shares(ones / votes) if votes.all() else None


def from_shares(shares: np.ndarray) -> str | None:
    """The text in the shares of blocks that hold each bit as 1; None if there is none.

    Noise and clipped colours make one kind of bit rarer, so that half of the blocks may not be the border. The mean
    share lies between the two kinds then.
    """
    texts = (from_bits(shares > border) for border in (0.5, shares.mean()))
    return next((text for text in texts if text is not None), None)


def place_bits(height: int, width: int) -> np.ndarray:
    """Which bit each block of a frame holds, row by row: `(height / 8 * width / 8)`."""
    columns, bands = np.arange(width // BLOCK), np.arange(height // BLOCK) // BAND
    return ((columns + BAND_STEP * bands[:, None]) % NUM_BITS).ravel()


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
