"""Writes H.264 whose frames are stored as two fields each (ITU-T H.264, 7.3): no encoder at hand does so."""

from __future__ import annotations

from collections.abc import Callable

SIZE = 64
GROUP = 12
TOP, BOTTOM, WHOLE = 0, 1, None


class Bits:
    """A NAL unit's payload in the making."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, count: int, value: int) -> Bits:
        self.text += f"{value:0{count}b}"
        return self

    def golomb(self, *values: int) -> Bits:
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code
        return self

    def align(self) -> Bits:
        self.text += "0" * (-len(self.text) % 8)
        return self

    def unit(self, kind: int, importance: int) -> bytes:
        self.put(1, 1).align()
        payload = bytearray()
        for byte in int(self.text, 2).to_bytes(len(self.text) // 8, "big"):
            # No start code may appear within (7.4.1).
            payload += b"\3" if payload[-2:] == b"\0\0" and byte <= 3 else b""
            payload.append(byte)
        return b"\0\0\0\1" + bytes([importance << 5 | kind]) + bytes(payload)


def level(number: int, part: int | None) -> int:
    """The luma of a frame; the bottom field is brighter by 3."""
    return 40 + 6 * number + 3 * (part == BOTTOM)


def field_coded(frames: int, in_fields: Callable[[int], bool]) -> bytes:
    """A stream (annex B) of flat grey frames of 64 x 64 pixels, of which some are stored as two fields."""
    return b"".join(
        picture(number, part) for number in range(frames) for part in ((TOP, BOTTOM) if in_fields(number) else (WHOLE,))
    )


def headers() -> bytes:
    """Main profile, 8 bits of picture order, 4 x 2 macroblocks per field, fields allowed; a plain picture set."""
    sequence = Bits().put(8, 77).put(8, 0).put(8, 30).golomb(0, 0, 0, 4, 1).put(1, 0).golomb(3, 1).put(5, 0b00100)
    pictures = Bits().golomb(0, 0).put(2, 0).golomb(0, 0, 0).put(3, 0).golomb(0, 0, 0).put(3, 0b100)
    return sequence.unit(7, 3) + pictures.unit(8, 3)


def picture(number: int, part: int | None) -> bytes:
    key, place = number % GROUP == 0, number % GROUP
    first = key and part != BOTTOM
    bits = Bits().golomb(0, 7, 0).put(4, 0 if key else 1)
    bits.put(1, 0) if part is WHOLE else bits.put(2, 0b10 | part)
    if first:
        bits.golomb(number // GROUP % 2)
    bits.put(8, 2 * place + (part == BOTTOM))
    if key:
        bits.put(2 if first else 1, 0)
    bits.golomb(0, 1)
    for _ in range(16 if part is WHOLE else 8):
        # I_PCM: samples as they are.
        bits.golomb(25).align()
        bits.text += f"{level(number, part):08b}" * 256 + f"{128:08b}" * 128
    delimiter = Bits().put(3, 0).unit(9, 0)
    return delimiter + (headers() if first else b"") + bits.unit(5 if first else 1, 1 if key else 0)
