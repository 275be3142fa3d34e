"""The clips that teach one motion share a path and nothing else, and what is copied of them is counted."""

from __future__ import annotations

import numpy as np
import pytest

from demo.creatures.edited_scenes import edited_scenes
from demo.creatures.scene import render
from demo.several_clips import copied, draw_clips


def test_the_clips_share_a_path_and_no_look():
    clips = draw_clips(0)
    assert len({clip.scenes[0].subject for clip in clips}) == len({clip.scenes[0].place for clip in clips}) == 3
    first, *others = [clip.path() - clip.path().mean(0) for clip in clips]
    for other in others:
        assert np.corrcoef(first.ravel(), other.ravel())[0, 1] > 0.98
    looks = {(edit.subject, edit.place) for clip in clips for edit in clip.edits}
    assert len(looks) == 2 and not looks & {(clip.scenes[0].subject, clip.scenes[0].place) for clip in clips}


def test_a_seed_draws_the_same_clips_again_and_another_others():
    assert draw_clips(1) == draw_clips(1) != draw_clips(2)


def test_what_is_copied_is_what_should_have_changed():
    clip = draw_clips(0)[2]
    edit = clip.edits[0]
    made = np.stack([render(scene) for scene in edited_scenes(clip, edit)])
    assert copied(clip.frames(), clip, edit) == 1
    assert copied(made, clip, edit) == pytest.approx(0, abs=0.1)
