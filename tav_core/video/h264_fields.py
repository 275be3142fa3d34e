"""Which H.264 packets hold the second field of a frame (ITU-T H.264, 7.3), as camcorders and broadcasts store them."""

from __future__ import annotations

from collections.abc import Iterator

SLICES, SPS = (1, 5), 7
"""Types of NAL units (table 7-1)."""

HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
"""Profiles whose parameter sets say more about colours (7.3.2.1.1)."""

HEAD = 512
"""Bytes of a NAL unit that are looked at: more than a parameter set or the head of a slice takes."""


class FieldPairs:
    """Tells the packets of a stream that complete a frame, in the order of decoding.

    Args:
        extradata: the stream's headers, as start codes (Annex B) or an avcC box separate them.
    """

    def __init__(self, extradata: bytes | None) -> None:
        head = extradata or b""
        self._length_size = head[4] % 4 + 1 if head[:1] == b"\x01" and len(head) > 6 else 0
        self._frame_num_bits: int | None = None
        self._waiting: tuple[int, bool] | None = None
        # In an avcC box, the first parameter set stands behind its length of two bytes.
        sets = [head[8 : 8 + int.from_bytes(head[6:8], "big")]] if self._length_size else _split(head)
        self._learn(sets)

    @property
    def possible(self) -> bool:
        """Whether the headers allow for fields at all."""
        return self._frame_num_bits is not None

    def completes(self, packet: bytes) -> bool:
        """Whether this packet is the second field of the frame that the packet before it began."""
        units = list(self._units(packet))
        self._learn(units)
        if self._frame_num_bits is None:
            return False
        fields = {field for unit in units if unit[0] & 31 in SLICES and (field := self._field(unit)) is not None}
        before, self._waiting = self._waiting, None
        if len(fields) != 1:
            return False
        frame_num, bottom = fields.pop()
        if before == (frame_num, not bottom):
            return True
        self._waiting = frame_num, bottom
        return False

    def _units(self, packet: bytes) -> Iterator[bytes]:
        if not self._length_size:
            yield from _split(packet)
            return
        place = 0
        while place + self._length_size < len(packet):
            start = place + self._length_size
            place = start + int.from_bytes(packet[place:start], "big")
            if place > start:
                yield packet[start : min(place, start + HEAD)]

    def _learn(self, units: list[bytes]) -> None:
        for unit in units:
            if unit and unit[0] & 31 == SPS:
                self._frame_num_bits = _frame_num_bits(_Bits(unit))

    def _field(self, unit: bytes) -> tuple[int, bool] | None:
        """`frame_num` of a slice and whether it is of the bottom field; None if it is of a whole frame (7.3.3)."""
        assert self._frame_num_bits is not None
        bits = _Bits(unit)
        for _ in ("first_mb_in_slice", "slice_type", "pic_parameter_set_id"):
            bits.golomb()
        frame_num = bits.take(self._frame_num_bits)
        return (frame_num, bool(bits.take(1))) if bits.take(1) else None


class _Bits:
    """Reads a NAL unit behind its first byte; beyond the end there are ones."""

    def __init__(self, unit: bytes) -> None:
        payload = unit[1:HEAD].replace(b"\0\0\3", b"\0\0")
        self._text = "".join(f"{byte:08b}" for byte in payload) + "1" * 64
        self._place = 0

    def take(self, count: int) -> int:
        self._place += count
        return int(self._text[self._place - count : self._place] or "1", 2)

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number (9.1)."""
        # Numbers have 32 bits at most (9.1); damaged ones may seem to have more.
        zeros = min(max(self._text.find("1", self._place) - self._place, 0), 31)
        self._place += zeros
        return self.take(zeros + 1) - 1

    def signed_golomb(self) -> int:
        """A signed one (9.1.1)."""
        code = self.golomb()
        return (code + 1) // 2 * (1 if code % 2 else -1)


def _frame_num_bits(bits: _Bits) -> int | None:
    """How long `frame_num` is by a sequence parameter set; None if all pictures are whole frames (7.3.2.1.1)."""
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    # Separate colour planes would put two more bits into each slice's head; no camera films so.
    if profile in HIGH_PROFILES and not _skip_colours(bits):
        return None
    frame_num_bits = bits.golomb() + 4
    _skip_picture_order(bits)
    bits.golomb()
    bits.take(1)
    bits.golomb()
    bits.golomb()
    frame_mbs_only = bits.take(1)
    return None if frame_mbs_only else frame_num_bits


def _skip_colours(bits: _Bits) -> bool:
    """Goes past the depths and scaling lists (7.3.2.1.1.1); False if the colour planes are separate."""
    chroma = bits.golomb()
    if chroma == 3 and bits.take(1):
        return False
    bits.golomb()
    bits.golomb()
    bits.take(1)
    if bits.take(1):
        for size in [16] * 6 + [64] * (6 if chroma == 3 else 2):
            last = following = 8
            for _ in range(size if bits.take(1) else 0):
                if following:
                    following = (last + bits.signed_golomb()) % 256
                last = following or last
    return True


def _skip_picture_order(bits: _Bits) -> None:
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        for _ in range(min(bits.golomb(), 255)):
            bits.golomb()


def _split(data: bytes) -> list[bytes]:
    """The heads of the NAL units between start codes (annex B)."""
    units, place = [], data.find(b"\0\0\1")
    while place >= 0:
        place += 3
        following = data.find(b"\0\0\1", place)
        unit = data[place : min(place + HEAD, following if following >= 0 else len(data))]
        units += [unit] if unit else []
        place = following
    return units
