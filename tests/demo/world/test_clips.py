import numpy as np
import pytest

from demo.world import palette, sdf
from demo.world.clips import all_clips, clip_named, make_edit
from demo.world.world import Scene, fits

CLIPS = all_clips()
NAMES = [clip.name for clip in CLIPS]
by_clip = pytest.mark.parametrize("clip", CLIPS, ids=NAMES)


def test_there_are_enough_clips_and_each_has_a_name():
    assert len(CLIPS) >= 8 and len(set(NAMES)) == len(CLIPS)
    assert clip_named("behind").name == "behind"
    with pytest.raises(KeyError):
        clip_named("no such clip")


@by_clip
def test_frames_are_deterministic_pictures(clip):
    frames = clip.frames()
    assert frames.shape == (8, 96, 96, 3) and frames.dtype == np.float32
    assert np.array_equal(frames, clip.frames())


@by_clip
def test_paths_are_long_and_smooth(clip):
    path = clip.path()
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert np.ptp(path, axis=0).max() >= 30
    assert steps.max() < 20
    assert np.abs(np.diff(path, n=2, axis=0)).max() < 12


@by_clip
def test_a_swinging_clip_moves_and_comes_back_every_four_frames(clip):
    swing = clip_named(f"{clip.name}-swing")
    assert (swing.prompt, swing.edits) == (clip.prompt, clip.edits) and len(swing.scenes) == len(clip.scenes)
    assert swing.scenes[:4] == swing.scenes[4:] and swing not in CLIPS
    assert np.ptp(swing.path(), axis=0).max() >= 15
    assert np.linalg.norm(np.diff(swing.path(), axis=0), axis=1).max() < 32


@by_clip
def test_every_shape_that_an_edit_asks_for_fits_along_the_path(clip):
    for scene in clip.scenes:
        for shape in sdf.SHAPES:
            assert fits(shape, scene.x, scene.y, scene.radius, margin=0)


@by_clip
def test_edits_ask_for_what_their_prompts_say(clip):
    assert len(clip.edits) >= 6 and len({edit.prompt for edit in clip.edits}) == len(clip.edits)
    for edit in clip.edits:
        thing, _, behind = edit.prompt.partition(" on a ")
        for words, said, known in (
            (thing, edit.shape, sdf.SHAPES),
            (thing, edit.colour, palette.COLOURS),
            (behind, edit.background, palette.BACKGROUNDS),
        ):
            assert [word for word in words.split() if word in known] == ([said] if said else [])
        assert edit.prompt != clip.prompt
        assert "path" in edit.keep


@by_clip
def test_no_edit_paints_a_shape_in_its_backgrounds_colour(clip):
    scene = clip.scenes[0]
    for edit in clip.edits:
        colour, background = edit.colour or scene.colour, edit.background or scene.background
        assert not palette.clashes(colour, background)


def test_edits_change_one_thing_or_two_and_leave_things_unsaid():
    edits = [edit for clip in CLIPS for edit in clip.edits]
    assert {edit.changed for edit in edits} == {1, 2}
    for part in ("shape", "colour", "background"):
        assert any(getattr(edit, part) is None for edit in edits)
    for part in ("shade", "background_shade", "texture", "mark", "outline", "second", "shape", "colour", "background"):
        assert any(part in edit.keep for edit in edits)


def test_the_clips_move_grow_turn_hide_and_pair():
    first, last = clip_named("grow").scenes[0], clip_named("grow").scenes[-1]
    assert last.radius > first.radius + 5
    assert clip_named("turn").scenes[-1].rotation > 90
    gaps = [np.hypot(s.x - s.second.x, s.y - s.second.y) for s in clip_named("behind").scenes]
    assert min(gaps) < clip_named("behind").scenes[0].radius + 8
    places = [scene.second.x for scene in clip_named("cross").scenes]
    assert np.ptp(places) > 30


def test_an_edit_keeps_only_what_it_does_not_change():
    scene = Scene(
        shape="circle",
        colour="red",
        rgb=(1, 0, 0),
        background="blue",
        background_rgb=(0, 0, 1),
        texture="stripes",
        mark="light",
    )
    said = {"shape": "circle", "background": "blue"}
    recoloured = make_edit(scene, said, {"colour": "green"})
    assert recoloured.keep == ("path", "background_shade", "texture", "mark")
    moved = make_edit(scene, said, {"background": "white"})
    assert moved.keep == ("path", "colour", "shade", "mark")
    assert (moved.shape, moved.colour, moved.background) == ("circle", None, "white")
