"""The encoders behind `write_video`: frames to H.264, GIF, WebP or PNGs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
import torch
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..cancelling import cancellable
from ..errors import ConfigError, InputError
from .comments import with_gif_comment, with_webp_comment

Finish: TypeAlias = Callable[[np.ndarray], np.ndarray]
H264_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
"""Tried in this order; if a build of PyAV has none, MPEG-4 part 2 is written, which browsers do not play."""


class EachFrame:
    """Frames as `h w c` uint8 arrays, converted one at a time.

    Args:
        frames: `f h w c`.
        finish: what is done last to a frame as it will be in the file, such as a watermark.
    """

    def __init__(self, frames: torch.Tensor, finish: Finish | None = None) -> None:
        self.frames = frames
        self.height, self.width = frames.shape[1:3]
        self.finish = finish or (lambda pixels: pixels)

    def __iter__(self) -> Iterator[np.ndarray]:
        for number, frame in enumerate(cancellable(self.frames.detach())):
            if frame.dtype != torch.uint8:
                if not torch.isfinite(frame).all():
                    raise InputError(
                        got=f"values in frame {number} that are not finite numbers",
                        expected="values in [0, 1]",
                        mend="Run the model in float32 or bfloat16: in float16 some VAEs overflow.",
                    )
                frame = frame.float().clamp(0, 1).mul(255).round().to(torch.uint8)
            yield np.ascontiguousarray(frame.cpu().numpy())


def choose_mp4_encoder(available: Collection[str] | None = None) -> str:
    """The first H.264 encoder of this build of PyAV, else "mpeg4"; `available` are the codec names to choose from."""
    names = av.codecs_available if available is None else available
    return next((name for name in H264_ENCODERS if name in names), "mpeg4")


def write_mp4(path: Path, frames: EachFrame, rate: Fraction, comment: str = "") -> None:
    width, height = frames.width + frames.width % 2, frames.height + frames.height % 2
    encoder = choose_mp4_encoder()
    with av.open(str(path.absolute()), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        if comment:
            container.metadata["comment"] = comment
        stream = container.add_stream(encoder, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if encoder == "libx264":
            # With AVX-512, x264's macroblock tree reads memory that nothing was written to, for widths that are no
            # multiple of 256: one input then gives several files. Without it, equal frames give equal bytes.
            stream.options = {"crf": "17", "preset": "medium", "mbtree": "0"}
        else:
            # These encoders have no constant quality mode; 0.3 bits per pixel is generous.
            stream.bit_rate = max(1_000_000, int(0.3 * width * height * rate))
        _tag_bt709(stream.codec_context)
        for number, pixels in enumerate(frames):
            padded = np.pad(pixels, ((0, height - frames.height), (0, width - frames.width), (0, 0)), mode="edge")
            container.mux(stream.encode(_timed(_to_bt709(frames.finish(padded)), number, 1 / rate)))
        container.mux(stream.encode())


def _tag_bt709(context: av.VideoCodecContext) -> None:
    # ITU-T H.273: 1 is BT.709 in all three tables, and range 1 is limited. Without tags, players guess from the size.
    context.colorspace = context.color_primaries = context.color_trc = 1
    context.color_range = 1


def _to_bt709(pixels: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format="yuv420p",
        src_colorspace=Colorspace.ITU601,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )


def _timed(frame: av.VideoFrame, time: int, tick: Fraction) -> av.VideoFrame:
    frame.pts, frame.time_base = time, tick
    return frame


def write_gif(path: Path, frames: EachFrame, rate: Fraction, comment: str = "") -> None:
    """Writes a GIF. Its delays are hundredths of a second, rounded so that the mean rate is kept."""
    tick = Fraction(1, 100)
    times = [round(number * 100 / rate) for number in range(len(frames.frames) + 1)]
    options = {"loop": "0", "final_delay": str(times[-1] - times[-2])}
    palette = _clip_palette(frames)
    colours = np.full((256, 4), 255, np.uint8)
    colours[:, 1:] = np.resize(palette.getpalette("RGB"), (256, 3))
    with av.open(str(path.absolute()), "w", format="gif", options=options) as container:
        stream = container.add_stream("gif", rate=100)
        stream.width, stream.height, stream.pix_fmt = frames.width, frames.height, "pal8"
        stream.codec_context.time_base = tick
        for time, pixels in zip(times, frames, strict=False):
            indices = np.array(Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
            container.mux(
                stream.encode(_timed(av.VideoFrame.from_ndarray((indices, colours), format="pal8"), time, tick))
            )
        container.mux(stream.encode())
    if comment:
        path.write_bytes(with_gif_comment(path.read_bytes(), comment))


def _clip_palette(frames: EachFrame, most_pixels: int = 4_000_000) -> Image.Image:
    """A picture with one palette for the whole clip, because a palette per frame would flicker.

    Pillow's octree keeps small patches of a rare colour; median cut (Pillow's, and ffmpeg's palettegen) loses them.
    """
    step = math.ceil(math.sqrt(frames.frames[..., 0].numel() / most_pixels))
    sample = np.concatenate([pixels[::step, ::step] for pixels in frames])
    return Image.fromarray(sample).quantize(256, method=Image.Quantize.FASTOCTREE)


def write_webp(path: Path, frames: EachFrame, rate: Fraction, comment: str = "") -> None:
    """Writes an animated WebP, each frame encoded separately: libwebp's animation encoder would merge equal frames."""
    if "libwebp" not in av.codecs_available:
        raise ConfigError(
            got="a build of PyAV without libwebp", expected="one with it, as on PyPI", mend="Save as .mp4 or .gif."
        )
    tick = Fraction(1, 1000)
    times = [round(number * 1000 / rate) for number in range(len(frames.frames) + 1)]
    with av.open(str(path.absolute()), "w", format="webp", options={"loop": "0"}) as container:
        stream = container.add_stream("libwebp", rate=1000, options={"quality": "90"})
        stream.width, stream.height, stream.pix_fmt = frames.width, frames.height, "bgra"
        stream.codec_context.time_base = tick
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(frames.finish(pixels), format="rgb24").reformat(format="bgra")
            for packet in stream.encode(_timed(frame, times[number], tick)):
                packet.duration = times[number + 1] - times[number]
                container.mux(packet)
        container.mux(stream.encode())
    if comment:
        noted = with_webp_comment(path.read_bytes(), comment, width=frames.width, height=frames.height)
        path.write_bytes(noted)


def write_folder(path: Path, frames: EachFrame, rate: Fraction, comment: str = "") -> None:
    path.mkdir()
    notes = PngInfo()
    if comment:
        notes.add_itxt("Comment", comment)
    for number, pixels in enumerate(frames):
        Image.fromarray(frames.finish(pixels)).save(path / f"{number:05d}.png", pnginfo=notes)
