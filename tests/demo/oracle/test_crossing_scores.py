"""demo/oracle/crossing_scores.py: truth is right; a swap, a lost shape and a wrong order are not."""

import dataclasses

import numpy as np
import pytest

from demo.oracle.crossing_scores import read_object, score
from demo.world.crossing import OBJECTS, crossing_clips, edited_frames, render_frame
from demo.world.world import render

CLIPS = crossing_clips()
CASES = [(clip, edit) for clip in CLIPS for edit in clip.edits]
# What is spoilt in an edit is spoilt alike in all of a clip.
SPOILT = [(clip, edit) for clip, edit in CASES if edit.kind == "both"]
every_edit = pytest.mark.parametrize(("clip", "edit"), CASES, ids=[edit.prompt for _, edit in CASES])
one_edit_each = pytest.mark.parametrize(("clip", "edit"), SPOILT, ids=[clip.name for clip, _ in SPOILT])


def drawn(frames):
    return np.stack([render_frame(frame) for frame in frames])


@every_edit
def test_an_edit_as_it_should_be_is_right_and_the_clip_is_not(clip, edit):
    found = score(drawn(edited_frames(clip, edit)), clip, edit)
    assert found.edit_right and found.front == found.behind == found.background == found.colours == found.order == 1
    assert found.distance < 1 and (found.kept == 1 or np.isnan(found.kept)) and found.flicker < 1e-6
    assert not score(clip.frames(), clip, edit).edit_right


@one_edit_each
def test_shapes_that_change_places_at_the_crossing_are_wrong(clip, edit):
    """Each goes on as the other: what an identity that is lost behind the other looks like."""
    frames = edited_frames(clip, edit)
    half = len(frames) // 2
    found = score(drawn([*frames[:half], *map(exchanged, frames[half:])]), clip, edit)
    assert not found.edit_right and found.behind <= 0.5 and found.colours <= 0.5
    assert not score(drawn(map(exchanged, frames)), clip, edit).edit_right


def exchanged(frame):
    """A frame in which each shape is where the other one should be."""
    places = {name: {key: getattr(getattr(frame, name), key) for key in ("x", "y")} for name in OBJECTS}
    swapped = {
        name: dataclasses.replace(getattr(frame, name), **places[OBJECTS[1 - i]]) for i, name in enumerate(OBJECTS)
    }
    return dataclasses.replace(frame, **swapped)


@pytest.mark.parametrize("kept", OBJECTS)
@one_edit_each
def test_an_edit_that_lost_a_shape_is_wrong(clip, edit, kept):
    found = score(np.stack([render(getattr(frame, kept)) for frame in edited_frames(clip, edit)]), clip, edit)
    assert not found.edit_right and found.colours == 0
    lost = "behind" if kept == clip.scenes[0].front else "front"
    assert getattr(found, lost) <= 0.5


@one_edit_each
def test_a_wrong_order_is_seen_in_the_overlap(clip, edit):
    frames = edited_frames(clip, edit)
    turned = [dataclasses.replace(frame, front=frame.behind) for frame in frames]
    found = score(drawn(turned), clip, edit)
    assert found.order == 0 and found.behind == 1 and found.colours == 1


@one_edit_each
def test_one_mixture_of_both_is_wrong(clip, edit):
    """What the model draws when it is told of both: one shape in the colour of the other, on the path of the one."""
    frames = edited_frames(clip, edit)
    mixed = [render(dataclasses.replace(frame.first, rgb=frame.second.rgb)) for frame in frames]
    assert not score(np.stack(mixed), clip, edit).edit_right


def test_a_shape_is_read_without_the_other():
    frame = CLIPS[0].scenes[2]
    assert frame.is_clear
    readings = [read_object(render_frame(frame), frame, name) for name in OBJECTS]
    assert [(one.shape, one.colour, one.second) for one in readings] == [
        ("circle", "red", "none"),
        ("square", "blue", "none"),
    ]


def test_a_shape_off_its_path_is_wrong():
    clip, edit = CLIPS[0], CLIPS[0].edits[0]
    frames = [
        dataclasses.replace(frame, second=dataclasses.replace(frame.second, y=frame.second.y + 16))
        for frame in edited_frames(clip, edit)
    ]
    found = score(drawn(frames), clip, edit)
    assert found.behind == 0 and not found.edit_right


def test_noise_is_wrong_everywhere():
    noise = np.random.default_rng(0).random(CLIPS[0].frames().shape)
    found = score(noise, CLIPS[0], CLIPS[0].edits[0])
    assert found.front <= 0.25 and found.behind == found.background == 0 and np.isnan(found.distance)
