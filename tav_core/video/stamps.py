"""When each frame of a video is shown, from what its packets say before they are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import dropwhile, pairwise
from typing import NamedTuple

SHORTEST = Fraction(1, 500)
"""Seconds for which a frame is shown at least: stamps closer together are one stamp repeated."""


FEW = 1 / 20
"""The share of stamps that may be repeated ones before all of them count for nothing."""


class Stamps(NamedTuple):
    """What is known of a packet before it is decoded; times in ticks of its track."""

    pts: int | None
    dts: int | None
    is_keyframe: bool
    is_shown: bool


def decodable(packets: Sequence[Stamps]) -> Sequence[Stamps]:
    """Leaves out the packets in front that do not become frames, if a recording starts between keyframes.

    These are all before the first keyframe, and those behind it that are shown before it: they need earlier frames.
    """
    from_keyframe = list(dropwhile(lambda packet: not packet.is_keyframe, packets))
    if not from_keyframe or from_keyframe[0].pts is None:
        return from_keyframe or packets
    first = from_keyframe[0].pts
    return [packet for packet in from_keyframe if packet.pts is None or packet.pts >= first]


def first_time(packets: Sequence[Stamps]) -> int:
    """The first stamp of a frame that is shown, in ticks; 0 if there is none."""
    stamps = [packet.dts if packet.pts is None else packet.pts for packet in packets if packet.is_shown]
    return min((stamp for stamp in stamps if stamp is not None), default=0)


def frame_times(packets: Sequence[Stamps], tick: Fraction, *, reorders: bool) -> tuple[list[int], bool]:
    """When each frame is shown, in ticks, and whether decoded frames must be told by their order, not their stamps.

    Decoded frames always come in the order in which they are shown. Their own stamps are wrong if stamps repeat, are
    missing, or are those of decoding: then pictures lie in the file in the order of their stamps, although the decoder
    `reorders` them.

    Returns:
        Strictly increasing ticks, or [] if the packets tell nothing; True if only the order can be trusted.
    """
    # An MP4 edit list may say that the first frames are decoded but not shown.
    shown = [packet for packet in packets if packet.is_shown]
    displayed = [packet.pts for packet in shown if packet.pts is not None]
    decoding = [packet.dts for packet in shown if packet.dts is not None]
    times = next((known for known in (displayed, decoding) if len(known) == len(shown)), [])
    in_order = times is not displayed or (reorders and _rises(times, 0))
    times, shortest = sorted(times), int(SHORTEST / tick)
    if _rises(times, shortest):
        return times, in_order
    return _spread(times, shortest), True


def _rises(times: Sequence[int], more_than: int) -> bool:
    return all(later - earlier > more_than for earlier, later in pairwise(times))


def _spread(times: Sequence[int], shortest: int) -> list[int]:
    """Gives frames with one stamp even times up to the next, at most the average step; [] if there are many such."""
    starts = [0, *(n for n in range(1, len(times)) if times[n] - times[n - 1] > shortest)]
    if len(starts) < (1 - FEW) * len(times):
        return []
    step = (times[-1] - times[0]) // max(len(times) - 1, 1)
    spread: list[int] = []
    for start, end in pairwise([*starts, len(times)]):
        room = (times[end] - times[start]) // (end - start) if end < len(times) else step
        spread += [times[start] + number * min(room, step) for number in range(end - start)]
    return spread if _rises(spread, 0) else []
