"""Scores of videos: CLIP and DINO judge the frames, optical flow judges the motion, and pixels show the flicker.

    frames -> clip, dino (with images) -> similarity   embeddings to cosines
    frames -> flow -> motion                           displacements to warp error and diversity
    frames -> flow or raft -> token_paths              which tokens of a UNet show the same spot, for flow guidance
    frames -> flow -> drift                            how the camera moves
    frames -> flicker                                  pixels alone
    all of these -> measure                            one call for all scores
    scores                                             what each score is called and what it says

Names are imported when they are first used, so that `import tav_core.metrics` costs nothing.
"""

from __future__ import annotations

from ..lazy_names import names_on_use

HOMES = {
    "clip": ("ClipEncoder", "load_clip_model"),
    "dino": ("DinoEncoder", "load_dino_model"),
    "drift": ("measure_drift",),
    "flicker": ("second_differences",),
    "flow": ("FlowPair", "measure_flow"),
    "measure": ("VideoScores", "measure_video"),
    "motion": ("angle_histogram", "angle_entropy", "visible_pixels", "warp_errors", "warp_frames"),
    "raft": ("Raft", "load_raft"),
    "scores": ("PAIRS", "SCORES", "ScoreName", "format_scores"),
    "similarity": ("frame_consistency", "matched_similarity", "text_similarity"),
    "token_paths": ("token_paths",),
}
__getattr__, __all__ = names_on_use(__name__, HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
