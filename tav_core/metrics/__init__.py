"""Scores of videos: CLIP and DINO judge the frames, optical flow judges the motion, and pixels show the flicker.

    frames -> clip, dino (with images) -> similarity   embeddings to cosines
    frames -> flow -> motion                           displacements to warp error and diversity
    frames -> flicker                                  pixels alone
    all of these -> measure                            one call for all scores
    scores                                             what each score is called and what it says

Names are imported when they are first used, so that `import tav_core.metrics` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

HOMES = {
    "clip": ("ClipEncoder", "load_clip"),
    "dino": ("DinoEncoder", "load_dino"),
    "flicker": ("second_differences",),
    "flow": ("FlowPair", "measure_flow"),
    "measure": ("VideoScores", "measure_video"),
    "motion": ("angle_histogram", "angle_entropy", "visible_pixels", "warp_errors", "warp_frames"),
    "scores": ("PAIRS", "SCORES", "ScoreName", "format_scores"),
    "similarity": ("frame_consistency", "matched_similarity", "text_similarity"),
}
NAMES = {name: home for home, names in HOMES.items() for name in names}

__all__ = list(NAMES)


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{NAMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
