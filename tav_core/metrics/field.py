"""The scores of the field's benchmarks by name, and what others have published, for tables beside ours."""

from __future__ import annotations

from typing import NamedTuple

from .scores import ScoreName

FIELD_SCORES: dict[str, ScoreName] = {
    "loveu_frames": ScoreName(
        label="LOVEU frame consistency",
        better="higher",
        digits=4,
        first_frame=0,
        tells="Mean cosine of all pairs of frames, by CLIP, at 480x480; not times 100.",
    ),
    "loveu_text": ScoreName(
        label="LOVEU text alignment",
        better="higher",
        digits=2,
        first_frame=0,
        tells="The scaled cosine of frames and prompt, by CLIP, at 480x480.",
    ),
    "loveu_pick": ScoreName(
        label="PickScore",
        better="higher",
        digits=2,
        first_frame=0,
        tells="The scaled cosine of frames and prompt, by a CLIP that learned which picture people pick.",
    ),
    "outside_psnr": ScoreName(
        label="PSNR outside the mask, dB",
        better="higher",
        digits=2,
        first_frame=0,
        tells="How little is changed where no change is wanted; as FiVE-Bench computes it.",
    ),
    "outside_ssim": ScoreName(
        label="SSIM outside the mask",
        better="higher",
        digits=4,
        first_frame=0,
        tells="The same, by structure; 1 is equal.",
    ),
}


class Published(NamedTuple):
    """Figures that others have published; none was measured with this library.

    Args:
        method: what was measured.
        data: on what.
        scores: by the names of `FIELD_SCORES`.
        source: where they stand.
    """

    method: str
    data: str
    scores: dict[str, float]
    source: str


PUBLISHED = (
    Published(
        method="Tune-A-Video, the competition's baseline",
        data="LOVEU-TGVE-2023, 304 edits",
        scores={"loveu_frames": 0.924, "loveu_text": 27.1, "loveu_pick": 20.4},
        source="LOVEU-TGVE 2023 leaderboard (frame consistency given as 92.4)",
    ),
)
