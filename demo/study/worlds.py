"""The worlds that a study runs on: the model, the clips, and how edits of them are scored, drawn and masked."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tav_core import Control, ControlConfig, EditConfig, TuneConfig, UNetDenoiser, add_controls, load_t2i_adapter

HERE = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """One world.

    Args:
        name: for folders and files.
        model: the folder of its checkpoint, with a T2I-Adapter in it.
        clips: all clips by name. A clip has a prompt, scenes, edits, frames() and path().
        listed: the names of those that a study takes by default.
        parts: what an edit may change.
        layout_parts: those of them that leave all shapes as they are.
        changed_parts: which parts an edit changes in its clip.
        edited_scenes: the scenes of a clip as an edit should make them.
        mask_of: where an edit may change its clip, `f h w`; None for everywhere.
        adds: whether an edit adds something where the clip has nothing of the kind.
        subject_of: where the subject is in a clip, with a margin, `f h w`.
        hints: what the T2I-Adapter is shown of a clip, `f h w c`.
        score: the scores of a video of an edit of a clip.
        scores: the class of those.
        local_prompts: prompts for parts of the picture in an edit of a clip, each with its mask `f h w`.
        tuning, sampling: the original's recipe, for so small a model.
    """

    name: str
    model: Path
    clips: Mapping[str, Any]
    listed: Sequence[str]
    parts: tuple[str, ...]
    layout_parts: tuple[str, ...]
    changed_parts: Callable[[Any, Any], Sequence[str]]
    edited_scenes: Callable[[Any, Any], Sequence[Any]]
    mask_of: Callable[[Any, Any], Tensor | None]
    adds: Callable[[Any, Any], bool]
    subject_of: Callable[[Any], Tensor]
    hints: Callable[[Any], Tensor]
    score: Callable[[Any, Any, Any], Any]
    scores: type
    tuning: TuneConfig
    sampling: EditConfig
    local_prompts: Callable[[Any, Any], Sequence[tuple[str, Tensor]]] = lambda clip, edit: ()

    def lead(
        self, denoiser: UNetDenoiser, clip: Any, config: ControlConfig, *, around_subject: bool = False
    ) -> UNetDenoiser:
        """Adds the T2I-Adapter, which shows a denoiser where things are in the clip: everywhere, or around the subject
        alone."""
        net = load_t2i_adapter(self.model / "t2i_adapter")
        mask = self.subject_of(clip) if around_subject else None
        return add_controls(denoiser, [Control(net=net, frames=self.hints(clip), mask=mask, config=config)])


@functools.cache
def shapes() -> World:
    """Circles, squares, triangles and stars, at 96 x 96."""
    from ..oracle.scores import Scores, score
    from ..world import clips, discs, edit_masks, edited_scenes
    from .settings import EDIT, MODEL, TUNE

    return World(
        name="shapes",
        model=MODEL,
        clips=clips.clips_by_name(),
        listed=[clip.name for clip in clips.all_clips()],
        parts=clips.PARTS,
        layout_parts=("colour", "background"),
        changed_parts=clips.changed_parts,
        edited_scenes=edited_scenes.edited_scenes,
        mask_of=edit_masks.mask_of,
        adds=lambda clip, edit: False,
        subject_of=lambda clip: discs.discs(clip.scenes)[..., 0],
        hints=lambda clip: discs.discs(clip.scenes),
        score=score,
        scores=Scores,
        tuning=TUNE,
        sampling=EDIT,
    )


@functools.cache
def creatures() -> World:
    """Animals and machines that walk, fly and swim in seven places, at 128 x 128."""
    from ..creatures import clips, edit_masks, edited_scenes
    from ..creatures.oracle.scores import Scores, score
    from ..creatures.settings import EDIT, MODEL, TUNE

    all_clips = {clip.name: clip for clip in clips.all_clips()}
    return World(
        name="creatures",
        model=MODEL,
        clips=all_clips,
        listed=list(all_clips),
        parts=clips.PARTS,
        layout_parts=("place", "style"),
        changed_parts=lambda clip, edit: edit.changed,
        edited_scenes=edited_scenes.edited_scenes,
        mask_of=edit_masks.mask_of,
        adds=lambda clip, edit: edit.changed == ("thing",),
        subject_of=edit_masks.subject_of,
        hints=lambda clip: edit_masks.edge_hints(torch.from_numpy(clip.frames())),
        score=score,
        scores=Scores,
        tuning=TUNE,
        sampling=EDIT,
    )


@functools.cache
def crossing() -> World:
    """Two shapes that cross, at 96 x 96, drawn by the model of the shapes."""
    from ..oracle.crossing_scores import CrossingScores, score
    from ..world import crossing as clips
    from ..world import crossing_masks
    from .settings import EDIT, MODEL, TUNE

    all_clips = {clip.name: clip for clip in clips.crossing_clips()}
    return World(
        name="crossing",
        model=MODEL,
        clips=all_clips,
        listed=list(all_clips),
        parts=clips.KINDS,
        layout_parts=(),
        changed_parts=lambda clip, edit: (edit.kind,),
        edited_scenes=clips.edited_frames,
        mask_of=crossing_masks.mask_of,
        adds=lambda clip, edit: edit.kind != "background",
        subject_of=crossing_masks.subjects_of,
        hints=crossing_masks.hints,
        score=score,
        scores=CrossingScores,
        local_prompts=crossing_masks.local_prompts,
        tuning=TUNE,
        sampling=EDIT,
    )


WORLDS: dict[str, Callable[[], World]] = {"shapes": shapes, "creatures": creatures, "crossing": crossing}
