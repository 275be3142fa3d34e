"""demo/world/edit_masks.py: a mask holds what an edit changes, and leaves what it must keep."""

from __future__ import annotations

import pytest

from demo.world.clips import all_clips, clip_named
from demo.world.edit_masks import around, mask_of, second, touched


@pytest.mark.parametrize("clip", all_clips(), ids=lambda clip: clip.name)
def test_masks_hold_what_changes_and_nothing_else(clip):
    for edit in clip.edits:
        object_changes = any(
            word not in (None, getattr(clip.scenes[0], part))
            for part, word in (("shape", edit.shape), ("colour", edit.colour))
        )
        background_changes = edit.background not in (None, clip.scenes[0].background)
        mask = mask_of(clip, edit)
        if object_changes and background_changes:
            assert mask is None
            continue
        assert mask.shape == (8, 96, 96) and 0 < mask.mean() < 1
        for frame, scene in zip(mask.numpy().astype(bool), clip.scenes, strict=True):
            shape = touched(scene) & ~second(scene)
            if background_changes:
                assert not (frame & shape).any() and (frame | touched(scene)).all()
            else:
                assert (shape & ~frame).sum() < 0.06 * shape.sum()
                assert not (frame & ~around(scene)).any() and not (frame & second(scene)).any()


def test_what_an_edit_leaves_unsaid_is_not_masked():
    clip = clip_named("slide")
    unsaid = next(edit for edit in clip.edits if edit.background is None)
    assert mask_of(clip, unsaid) is not None
