"""How frames are brought to a size: crop, pad or stretch."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from ..cancelling import cancellable
from ..errors import InputError
from ..layouts import check_finite_frames
from .config import SIZE_STEP, ClipConfig

Box = tuple[float, float, float, float]


def fit_boxes(
    source: tuple[int, int], target: tuple[int, int], fit: str, pixel_aspect: float = 1.0
) -> tuple[Box, tuple[int, int], tuple[int, int]]:
    """Computes which part of a picture is kept and where it goes.

    Args:
        source: width and height of the picture, in pixels.
        target: desired width and height, in pixels.
        fit: "crop" keeps the centre, "pad" keeps all between black bars, "stretch" distorts.
        pixel_aspect: width of a source pixel over its height (not 1 in anamorphic video).

    Returns:
        The box of the source to keep (left, top, right, bottom; may fall between pixels), the size that it is
        resized to, and the place of its top left corner in the target.
    """
    (source_width, source_height), (width, height) = source, target
    whole: Box = (0.0, 0.0, float(source_width), float(source_height))
    shown, wanted = source_width * pixel_aspect / source_height, width / height
    if fit == "stretch" or shown == wanted:
        return whole, target, (0, 0)
    if fit == "crop":
        kept_width = source_width * min(1.0, wanted / shown)
        kept_height = source_height * min(1.0, shown / wanted)
        left, top = (source_width - kept_width) / 2, (source_height - kept_height) / 2
        return (left, top, left + kept_width, top + kept_height), target, (0, 0)
    inner = (width, max(1, round(width / shown))) if shown > wanted else (max(1, round(height * shown)), height)
    return whole, inner, ((width - inner[0]) // 2, (height - inner[1]) // 2)


def size_inside(source: tuple[int, int], box: tuple[int, int], pixel_aspect: float = 1.0) -> tuple[int, int]:
    """The largest size of a source's own aspect ratio that fits into a box, as near as multiples of 8 come to it.

    Args:
        source: width and height of the picture, in pixels.
        box: width and height that must not be exceeded, in pixels.
        pixel_aspect: width of a source pixel over its height.
    """
    shown = (source[0] * pixel_aspect, float(source[1]))
    scale = min(limit / side for limit, side in zip(box, shown, strict=True))
    width, height = (
        max(SIZE_STEP, min(limit, round(side * scale / SIZE_STEP) * SIZE_STEP))
        for limit, side in zip(box, shown, strict=True)
    )
    return width, height


def fit_image(image: Image.Image, width: int, height: int, fit: str = "crop", pixel_aspect: float = 1.0) -> Image.Image:
    """Brings a Pillow picture of any mode to `width` x `height` pixels; the bars of "pad" are zero, i.e. black.

    It uses Pillow's Lanczos, not torch's bicubic: Pillow takes 8-bit pixels as they are (an 8K frame needs 100 MB, not
    400), always filters before it shrinks, and gives the same bytes with any number of threads.
    """
    if image.size == (width, height) and pixel_aspect == 1.0:
        return image
    box, inner, corner = fit_boxes(image.size, (width, height), fit, pixel_aspect)
    resized = image.resize(inner, Image.Resampling.LANCZOS, box=box)
    if inner == (width, height):
        return resized
    padded = Image.new(image.mode, (width, height))
    padded.paste(resized, corner)
    return padded


def resize_frames(frames: torch.Tensor | np.ndarray, width: int, height: int, fit: str = "crop") -> torch.Tensor:
    """Brings frames that are already in memory to another size.

    Args:
        frames: `f h w c`, torch or numpy, float in [0, 1] or uint8; any number of channels. They are not changed.
        width: pixels, a multiple of 8.
        height: pixels, a multiple of 8.
        fit: "crop", "pad" or "stretch", as in `fit_boxes`.

    Returns:
        `f h w c` float32 in [0, 1] on the device of `frames`, a new tensor. Floats are not rounded to 8 bits.

    Raises:
        ConfigError: a size that is not a multiple of 8, or an unknown fit.
        InputError: the frames have another rank or number type.
    """
    # Checked as when a clip is read.
    ClipConfig(width=width, height=height, fit=fit)
    frames = check_frames(frames)
    check_finite_frames(frames, InputError)
    pixels = frames.detach().cpu().float().div(255 if frames.dtype == torch.uint8 else 1).numpy()
    resized = np.empty((len(pixels), height, width, pixels.shape[-1]), np.float32)
    for frame, result in cancellable(zip(pixels, resized, strict=True)):
        for channel in range(frame.shape[-1]):
            # Pillow's float pictures have a single channel.
            plane = Image.fromarray(np.ascontiguousarray(frame[..., channel]))
            result[..., channel] = np.asarray(fit_image(plane, width, height, fit))
    return torch.from_numpy(resized).clamp_(0, 1).to(frames.device)


def check_frames(frames: torch.Tensor | np.ndarray, channels: int | None = None) -> torch.Tensor:
    """Returns `frames` as a torch tensor `f h w c`, float or uint8, or raises `InputError`."""
    numbers = isinstance(frames, np.ndarray) and frames.dtype.kind in "fu"
    tensor = torch.from_numpy(frames) if numbers else frames
    if not isinstance(tensor, torch.Tensor):
        got = f"frames of type {type(frames).__name__} {getattr(frames, 'dtype', '')}".rstrip()
    elif tensor.ndim != 4 or 0 in tensor.shape or channels not in (None, tensor.shape[-1]):
        got = f"frames of shape {tuple(tensor.shape)}"
    elif not (tensor.is_floating_point() or tensor.dtype == torch.uint8):
        got = f"frames of {tensor.dtype}"
    else:
        return tensor
    raise InputError(
        got=got,
        expected=f"a tensor or array (frames, height, width, {channels or 'channels'}), float in [0, 1] or uint8",
        mend="Add the missing axis, move the channels last, or convert the numbers.",
    )
