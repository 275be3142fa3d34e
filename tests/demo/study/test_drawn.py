"""demo/study/drawn.py: edits as they should be."""

from __future__ import annotations

import dataclasses

import pytest

from demo import ablation
from demo.oracle.scores import score, summarize
from demo.study.drawn import draw_edits, edited_scenes
from demo.world.clips import all_clips, changed_parts, clip_named
from tav_core import load_checkpoint


@pytest.mark.parametrize("clip", all_clips(), ids=lambda clip: clip.name)
def test_scenes_change_in_what_an_edit_asks_for_alone(clip):
    shades = {"colour": {"rgb"}, "background": {"background_rgb", "texture_rgb"}}
    for edit in clip.edits:
        parts = changed_parts(clip, edit)
        allowed = set(parts).union(*(shades.get(part, set()) for part in parts))
        for scene, source in zip(edited_scenes(clip, edit), clip.scenes, strict=True):
            now, was = dataclasses.asdict(scene), dataclasses.asdict(source)
            assert set(parts) <= {name for name in now if now[name] != was[name]} <= allowed
            assert all(getattr(scene, part) == getattr(edit, part) for part in parts)


def test_the_autoencoder_is_a_ceiling_that_is_high_enough():
    clip = clip_named("slide")
    videos = draw_edits(load_checkpoint(ablation.MODEL), clip)
    scores = summarize([score(video, clip, edit) for video, edit in zip(videos, clip.edits, strict=True)])
    assert scores["edits_right"] == 1 and scores["path"] > 0.999 and scores["background_kept"] == 1
    assert 0.9 < scores["kept"] <= 1
