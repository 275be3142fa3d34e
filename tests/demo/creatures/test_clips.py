"""The clips of the second world: paths, phases, and edits that change what they say they change."""

import numpy as np
import pytest

from demo.creatures.clips import NUM_FRAMES, PARTS, all_clips
from demo.creatures.drawing.canvas import SIZE
from demo.creatures.scene import NO_THING, draw
from demo.creatures.subjects import SUBJECTS


@pytest.fixture(scope="module")
def clips():
    return all_clips()


def test_there_is_one_clip_of_each_subject_with_six_edits(clips):
    assert [clip.scenes[0].subject for clip in clips] and {clip.scenes[0].subject for clip in clips} == set(SUBJECTS)
    assert all(len(clip.edits) == 6 and len(clip.scenes) == NUM_FRAMES for clip in clips)


def test_the_classic_edits_are_there(clips):
    rabbit = next(clip for clip in clips if clip.name == "rabbit")
    assert rabbit.prompt == "a rabbit is running on the meadow"
    prompts = [edit.prompt for edit in rabbit.edits]
    assert prompts[:3] == [
        "a cat is running on the meadow",
        "a rabbit is running in the snow",
        "a rabbit is running on the meadow, sketch style",
    ]


def test_subjects_stay_in_the_picture_and_move(clips):
    for clip in clips:
        path = clip.path()
        assert path.min() > 0 and path.max() < SIZE
        assert np.ptp(path, axis=0).max() > 8, clip.name
        for scene in clip.scenes:
            mask = draw(scene).mask
            assert max(mask[0].max(), mask[:, 0].max(), mask[:, -1].max()) < 0.5, clip.name


def test_an_edit_differs_from_its_clip_in_what_it_changes(clips):
    for clip in clips:
        scene = clip.scenes[0]
        for edit in clip.edits:
            for part in PARTS:
                truth, asked = getattr(scene, part), getattr(edit, part)
                if part in edit.changed:
                    assert asked != truth
                else:
                    assert asked == truth or (part == "thing" and asked is None and truth == NO_THING)
