"""Puts a comment into a GIF or a WebP that is written already: ffmpeg's muxers have no place for one.

GIF: a comment extension (GIF89a, section 24) behind the global colours. WebP: a chunk EXIF with an image description,
and the flag in the chunk VP8X that tells of it (RFC 9649, section 2.7).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL import Image

DESCRIPTION = 0x010E
HAS_EXIF = 0x08
# A GIF's blocks have a length of one byte.
BLOCK = 255


def with_gif_comment(data: bytes, comment: str) -> bytes:
    """A GIF with a comment, as UTF-8."""
    colours = data[10]
    start = 13 + (3 * 2 ** (colours % 8 + 1) if colours & 0x80 else 0)
    text = comment.encode()
    blocks = (text[at : at + BLOCK] for at in range(0, len(text), BLOCK))
    extension = b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    # GIF87a has no extensions.
    return b"GIF89a" + data[6:start] + extension + data[start:]


def with_webp_comment(data: bytes, comment: str, *, width: int, height: int) -> bytes:
    """A WebP of this size in pixels with a comment, as the EXIF's image description in UTF-8."""
    exif = Image.Exif()
    exif[DESCRIPTION] = comment.encode()
    chunks = extended(list(webp_chunks(data)), width, height)
    chunks.append((b"EXIF", exif.tobytes().removeprefix(b"Exif\0\0")))
    body = b"WEBP" + b"".join(as_chunk(name, content) for name, content in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def extended(chunks: list[tuple[bytes, bytes]], width: int, height: int) -> list[tuple[bytes, bytes]]:
    """The chunks behind a VP8X that tells of an EXIF; a WebP of one picture may have had no VP8X."""
    size = b"".join(struct.pack("<I", side - 1)[:3] for side in (width, height))
    (name, header), *rest = chunks if chunks[0][0] == b"VP8X" else [(b"VP8X", bytes(4) + size), *chunks]
    return [(name, bytes([header[0] | HAS_EXIF]) + header[1:]), *rest]


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of a WebP's chunks; each is padded to an even length."""
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def as_chunk(name: bytes, content: bytes) -> bytes:
    """A chunk as it stands in the file."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
