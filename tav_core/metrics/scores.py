"""The scores by name: the label of each, whether higher or lower is better, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PAIRS = ("all", "consecutive")


@dataclass(frozen=True, kw_only=True)
class ScoreName:
    """One score.

    Args:
        label: its name in tables.
        better: "higher", "lower", or "" if neither is better.
        digits: how many are shown after the point.
        first_frame: the frame, counted from 0, that the first value of its curve belongs to.
        tells: what the score says, in one or two sentences.
    """

    label: str
    better: str
    digits: int
    first_frame: int
    tells: str


SCORES: dict[str, ScoreName] = {
    "clip_frames": ScoreName(
        label="CLIP frame consistency",
        better="higher",
        digits=2,
        first_frame=1,
        tells="100 x the mean cosine of pairs of frames. The curve compares each frame with the one before.",
    ),
    "clip_text": ScoreName(
        label="CLIP text score",
        better="higher",
        digits=2,
        first_frame=0,
        tells="100 x the cosine between frames and prompt.",
    ),
    "clip_source": ScoreName(
        label="CLIP likeness to the source",
        better="",
        digits=2,
        first_frame=0,
        tells="100 x the cosine with the same frame of the source. Near 100, the video is a copy of the source.",
    ),
    "dino_frames": ScoreName(
        label="DINO frame consistency",
        better="higher",
        digits=2,
        first_frame=1,
        tells="The same as CLIP's, but by DINO, which responds to shape and texture.",
    ),
    "dino_source": ScoreName(
        label="DINO likeness to the source",
        better="",
        digits=2,
        first_frame=0,
        tells="100 x the cosine with the same frame of the source. It shows how much of the layout is kept.",
    ),
    "warp_error": ScoreName(
        label="warp error",
        better="lower",
        digits=4,
        first_frame=1,
        tells="Mean |I_t - warp(I_t+1)| along the video's own flow, over pixels that both frames show.",
    ),
    "source_warp_error": ScoreName(
        label="warp error on the source's flow",
        better="lower",
        digits=4,
        first_frame=1,
        tells="The same along the flow of the source. It shows whether the video moves like the source.",
    ),
    "second_difference": ScoreName(
        label="second difference",
        better="lower",
        digits=4,
        first_frame=1,
        tells="Mean |I_t+1 - 2 I_t + I_t-1|, which measures flicker. Motion raises it too.",
    ),
    "motion_entropy": ScoreName(
        label="motion diversity, bits",
        better="",
        digits=2,
        first_frame=1,
        tells="Entropy of the directions of motion, weighted by length: 0 for one direction, 3 for all eight equally.",
    ),
    "motion_magnitude": ScoreName(
        label="mean motion, pixels per frame",
        better="",
        digits=2,
        first_frame=1,
        tells="Mean length of the flow. If it is near 0, the motion diversity measures only noise.",
    ),
}


def format_scores(values: Mapping[str, float]) -> str:
    """Scores as lines of text, in the order of `SCORES`."""
    width = max((len(SCORES[name].label) for name in values), default=0)
    kept = [(SCORES[name], values[name]) for name in SCORES if name in values]
    return "\n".join(f"{about.label:{width}}  {value:.{about.digits}f}" for about, value in kept)
