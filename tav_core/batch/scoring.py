"""The scores of one edit: ours, LOVEU-TGVE's, and what is kept outside a mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from ..metrics.loveu import loveu_scores
from ..metrics.measure import FEWEST_FRAMES, measure_video
from ..metrics.outside import outside_scores
from ..video.clip import VideoClip, read_clip
from ..video.mask import read_labels
from .loading import clip_judge, dino_judge
from .manifest.jobs import Edit
from .recipe import Recipe


def score_edit(
    path: Path, edit: Edit, clip: VideoClip, recipe: Recipe, *, on_part: Callable[[str], None]
) -> dict[str, float]:
    """The scores of a video as it was written, by the names of `SCORES` and `FIELD_SCORES`. A video of one or two
    frames, which has no course to measure, is compared with its source outside a mask alone.

    Args:
        path: the video, or its folder of pictures.
        clip: the source.
        on_part: called with the name of each part before it is computed.
    """
    frames = read_frames(path, clip)
    found = measure_frames(frames, edit, clip, recipe, on_part) if len(frames) >= FEWEST_FRAMES else {}
    if where := edit.score_mask or edit.mask:
        on_part("outside")
        found |= outside_scores(frames, clip.frames, read_labels(where, clip))
    return found


def measure_frames(
    frames: Tensor, edit: Edit, clip: VideoClip, recipe: Recipe, on_part: Callable[[str], None]
) -> dict[str, float]:
    """The scores of all but what is outside a mask."""
    judge = clip_judge(recipe.clip_model, recipe)
    measured = measure_video(
        frames,
        source=clip.frames,
        prompt=edit.prompt if judge and judge.tokenizer else None,
        clip=judge,
        dino=dino_judge(recipe),
        motion=recipe.flow,
        pairs=recipe.modes.pairs,
        on_step=on_part,
    )
    found = dict(measured.values)
    if (judge and judge.tokenizer) or recipe.pick_score:
        on_part("loveu")
        whole = judge if judge and judge.tokenizer else None
        found |= loveu_scores(frames, edit.prompt, clip=whole, pick=clip_judge(recipe.pick_score, recipe))
    return found


def read_frames(path: Path, clip: VideoClip) -> Tensor:
    """The frames of a video of a clip's size and length."""
    num_frames, height, width, _ = clip.frames.shape
    return read_clip(path, num_frames=num_frames, width=width, height=height, stride=1, start=0).frames
