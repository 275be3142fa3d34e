"""From a decoded PyAV frame to an 8-bit RGB picture: matrix, range, transparency, and which way is up."""

from __future__ import annotations

import struct
from typing import Any

import av
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

WHITE, BLACK = (255, 255, 255, 255), (0, 0, 0, 255)
"""The colours behind transparent pixels. Clips lie over white, as on a web page, so that dark outlines stay visible;
masks lie over black, so that what is not drawn is not masked."""

# Signs of a display matrix (a, b, c, d) (ISO/IEC 14496-12 8.5.3) -> the same rotation for Pillow, degrees clockwise.
ORIENTATIONS = {
    (0, 1, -1, 0): (Image.Transpose.ROTATE_270, 90),
    (-1, 0, 0, -1): (Image.Transpose.ROTATE_180, 180),
    (0, -1, 1, 0): (Image.Transpose.ROTATE_90, 270),
    (-1, 0, 0, 1): (Image.Transpose.FLIP_LEFT_RIGHT, 0),
    (1, 0, 0, -1): (Image.Transpose.FLIP_TOP_BOTTOM, 0),
    (0, 1, 1, 0): (Image.Transpose.TRANSPOSE, 90),
    (0, -1, -1, 0): (Image.Transpose.TRANSVERSE, 270),
}

# AVColorSpace (ITU-T H.273 table 4) -> swscale's matrices.
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
}
BT2020 = (9, 10)

# Pixels per colour sample (across, down) -> the 8-bit format whose way to RGB takes each sample for all of its pixels.
PLAIN_FORMATS = {(2, 2): "yuv420p", (2, 1): "yuv422p"}


def to_rgb(frame: av.VideoFrame, behind: tuple[int, int, int, int] = WHITE) -> Image.Image:
    """Converts a decoded frame of any pixel format to 8-bit RGB, with its own matrix and range, over a colour.

    10- and 12-bit frames are scaled to 8 bits; HDR transfer curves (PQ, HLG) are left as they are, not tone mapped.
    """
    palette = frame.format.name == "pal8"
    transparent = palette or any(component.is_alpha for component in frame.format.components)
    colours = {} if palette or frame.format.is_rgb else _colours(frame)
    frame = _plain(frame, colours, "a" if transparent else "") if colours else frame
    pixels = frame.reformat(format="rgba" if transparent else "rgb24", **colours).to_ndarray()
    image = Image.fromarray(pixels)
    return lay_over(behind, image) if transparent else image


def lay_over(behind: tuple[int, int, int, int], image: Image.Image) -> Image.Image:
    """Composites an RGBA picture over a colour."""
    return Image.alpha_composite(Image.new("RGBA", image.size, behind), image).convert("RGB")


def _plain(frame: av.VideoFrame, colours: dict[str, Any], alpha: str) -> av.VideoFrame:
    """Brings deep and packed frames with fewer colour samples than pixels to the 8-bit format of the same samples.

    On its own way from them to RGB, swscale blends each sample with its neighbours, as far as a quarter (4:2:0 of 10
    bits: up to 134 of 255 levels off at an edge between colours; by way of 8 bits 19, as video of 8 bits is).
    """
    name, blocks = frame.format.name, _blocks(frame)
    plain = "yuva420p" if alpha and blocks == (2, 2) else None if alpha else PLAIN_FORMATS.get(blocks)
    if plain is None or name in (plain, plain.replace("yuv", "yuvj")):
        return frame
    same_range = colours["src_color_range"]
    return frame.reformat(format=plain, src_color_range=same_range, dst_color_range=same_range)


def _blocks(frame: av.VideoFrame) -> tuple[int, int]:
    luma, *rest = frame.format.components
    colour = rest[0] if rest else luma
    return round(luma.width / colour.width), round(luma.height / colour.height)


def _colours(frame: av.VideoFrame) -> dict[str, Any]:
    """Colour matrix and range, stated explicitly because the defaults of `reformat` differ between versions of PyAV."""
    full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
    # Browsers and players take untagged video as BT.709 in high definition, else as BT.601.
    guess = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
    source = MATRICES.get(int(frame.colorspace), guess)
    colours = {
        # RGB has no matrix, but with equal matrices PyAV before 17 would treat the conversion as a plain copy.
        "dst_colorspace": Colorspace.ITU709 if source == Colorspace.ITU601 else Colorspace.ITU601,
        "src_color_range": ColorRange.JPEG if full else ColorRange.MPEG,
        "dst_color_range": ColorRange.JPEG,
    }
    # PyAV before 17 has no name for BT.2020's matrix, but reads it from the frame.
    return colours if int(frame.colorspace) in BT2020 else colours | {"src_colorspace": source}


def orientation(frame: av.VideoFrame) -> tuple[Image.Transpose | None, int]:
    """How Pillow must turn a decoded frame to show it upright (None: not at all), and the same in degrees clockwise."""
    try:
        told = list(frame.side_data)
    except ValueError:
        # PyAV 18 has no names for what the newest ffmpeg tells of a frame, and then lists none of it.
        return None, 0
    for data in told:
        if str(data.type).endswith("DISPLAYMATRIX"):
            a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
            return ORIENTATIONS.get(tuple(round(x / 65536) for x in (a, b, c, d)), (None, 0))
    return None, 0
