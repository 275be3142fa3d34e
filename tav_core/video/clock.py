"""Making the time stamps of a track continuous where recordings were joined, as ffmpeg does."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av

TS_DISCONT = 0x200
"""AVFMT_TS_DISCONT: the flag of containers whose time stamps may jump, such as a transport stream."""

BACKWARDS, FORWARDS = Fraction(1, 10), Fraction(1)
"""Seconds from which on a jump of such stamps is the start of another recording. (Forwards, ffmpeg waits for 10 s.)"""

FAR_BACKWARDS = Fraction(1, 2)
"""The same in containers whose stamps should not jump at all."""


class Clock:
    """The clock of a track: a stamp that jumps continues where the packet before it ends.

    Args:
        container, stream: the track.
        shifts: the jumps of the video, for a sound track to follow; None: the track finds them itself.

    Attributes:
        shifts: what is added to the stamps after each jump so far, in seconds.
    """

    def __init__(
        self, container: av.container.InputContainer, stream: av.stream.Stream, shifts: Sequence[Fraction] | None = None
    ):
        self.shifts: list[Fraction] = []
        self._given = None if shifts is None else list(shifts)
        self._tick = stream.time_base
        self._may_jump = bool(int(container.format.flags) & TS_DISCONT)
        self._back = int((BACKWARDS if self._may_jump else FAR_BACKWARDS) / self._tick)
        self._ahead = int(FORWARDS / self._tick)
        self._shift, self._last, self._next, self._end, self._begun = 0, 0, 0, 0, False

    def mend(self, packet: av.Packet) -> av.Packet:
        """Shifts the stamps of the next packet in the order of the file; returns the packet."""
        # Times of display go back within a recording; times of decoding only do where one ends.
        if packet.dts is None:
            return self._moved(packet)
        if self._begun:
            self._follow(packet)
        self._begun, self._last = True, packet.dts + self._shift
        self._next = self._last + (packet.duration or 0)
        if self._may_jump and packet.pts is not None and packet.pts - packet.dts > self._ahead:
            # The last picture of a recording is stamped by the next recording.
            packet.pts = None
        if packet.pts is not None:
            self._end = max(self._end, packet.pts + self._shift + (packet.duration or 0))
        return self._moved(packet)

    def _follow(self, packet: av.Packet) -> None:
        late = packet.dts + self._shift - self._next
        if self._given is None:
            gap = self._may_jump and late > self._ahead
            if gap or packet.dts + self._shift < self._last - self._back:
                # Behind the last picture in both orders, of decoding and of display.
                shown = packet.dts if packet.pts is None else packet.pts
                self._restart(max(self._next - packet.dts, self._end - shown) * self._tick)
        elif self._given and abs(packet.dts + round(self._given[0] / self._tick) - self._next) < abs(late):
            self._restart(self._given.pop(0))

    def _restart(self, shift: Fraction) -> None:
        self.shifts.append(shift)
        self._shift = round(shift / self._tick)

    def _moved(self, packet: av.Packet) -> av.Packet:
        if self._shift:
            packet.pts, packet.dts = (None if old is None else old + self._shift for old in (packet.pts, packet.dts))
        return packet
