"""demo/oracle/scores.py on videos whose truth is known: rendered, not generated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from demo.oracle.oracle import read_frames
from demo.oracle.scores import agreement, compare_paths, copied, score, summarize
from demo.world import palette
from demo.world.clips import all_clips, clip_named, make_edit
from demo.world.edited_scenes import edited_scenes
from demo.world.world import render

CLIP = clip_named("slide")


def render_scenes(scenes):
    return np.stack([render(scene) for scene in scenes])


def edit_of(clip, **change):
    said = {"shape": "circle", "colour": "red", "background": "blue"}
    return make_edit(clip.scenes[0], said, change)


@pytest.mark.parametrize("change", [{"shape": "star"}, {"colour": "yellow"}, {"shape": "square", "colour": "green"}])
def test_a_perfect_edit_has_perfect_scores(change):
    edit = edit_of(CLIP, **change)
    got = score(render_scenes(edited_scenes(CLIP, edit)), CLIP, edit)
    assert got.edit_right
    assert got.path > 0.995
    assert got.distance < 1.5
    assert got.agreement > 0.9
    assert got.kept > 0.9


def test_the_source_itself_is_not_the_edit():
    got = score(CLIP.frames(), CLIP, edit_of(CLIP, shape="star"))
    assert got.right == 0
    assert not got.edit_right
    assert got.path > 0.995


def test_frames_in_another_order_lose_the_path():
    frames = CLIP.frames()[np.random.default_rng(1).permutation(8)]
    assert score(frames, CLIP, edit_of(CLIP)).path < 0.8
    assert score(CLIP.frames()[::-1], CLIP, edit_of(CLIP)).path < 0


def test_noise_scores_nothing():
    noise = np.random.default_rng(0).random((8, 96, 96, 3), dtype=np.float32)
    got = score(noise, CLIP, edit_of(CLIP))
    assert (got.right, got.path, got.agreement) == (0, 0, 0)
    assert np.isnan(got.distance)
    assert got.kept == 0


def test_another_shade_is_not_kept():
    other = tuple(dataclasses.replace(scene, rgb=(1.0, 0.25, 0.22)) for scene in CLIP.scenes)
    edit = edit_of(CLIP, shape="star")
    assert score(render_scenes(other), CLIP, edit).kept < score(CLIP.frames(), CLIP, edit).kept - 0.2


def test_a_plain_background_does_not_keep_the_texture():
    plain = tuple(dataclasses.replace(scene, texture="plain") for scene in CLIP.scenes)
    edit = edit_of(CLIP, shape="star")
    assert score(render_scenes(plain), CLIP, edit).kept < score(CLIP.frames(), CLIP, edit).kept - 0.2


def test_the_background_alone():
    plain = render_scenes(tuple(dataclasses.replace(scene, texture="plain") for scene in CLIP.scenes))
    other = render_scenes(
        tuple(dataclasses.replace(scene, rgb=(1.0, 0.25, 0.22), mark="none") for scene in CLIP.scenes)
    )
    edit = edit_of(CLIP, shape="star")
    assert score(CLIP.frames(), CLIP, edit).background_kept == score(other, CLIP, edit).background_kept == 1
    assert score(plain, CLIP, edit).background_kept == pytest.approx(0.5, abs=0.1)
    asked = score(plain, CLIP, edit_of(CLIP, background="white"))
    assert np.isnan(asked.background_kept) and not np.isnan(asked.kept)
    assert summarize([asked, score(plain, CLIP, edit)])["background_kept"] == score(plain, CLIP, edit).background_kept
    assert np.isnan(summarize([asked])["background_kept"])


def test_shades_that_change_from_frame_to_frame_disagree():
    rng = np.random.default_rng(0)
    restless = [
        dataclasses.replace(scene, rgb=palette.shade_of(palette.COLOURS, "red", rng), texture_angle=rng.uniform(0, 180))
        for scene in CLIP.scenes
    ]
    assert agreement(read_frames(render_scenes(restless))) < agreement(read_frames(CLIP.frames())) - 0.1


def test_a_texture_that_jumps_flickers():
    jumping = [dataclasses.replace(s, texture_phase=0.5 * (i % 2)) for i, s in enumerate(CLIP.scenes)]
    edit = edit_of(CLIP)
    assert score(render_scenes(jumping), CLIP, edit).flicker > 20 * score(CLIP.frames(), CLIP, edit).flicker


def test_paths():
    truth = np.stack([np.linspace(10, 80, 8), np.linspace(40, 60, 8)], axis=1)
    assert compare_paths(truth + np.array([3, 4]), truth) == pytest.approx((1.0, 5.0))
    assert compare_paths(-truth, truth)[0] == pytest.approx(-1)
    assert compare_paths(np.full((8, 2), 48.0), truth)[0] == 0
    one_lost, two_lost = truth.copy(), truth.copy()
    one_lost[3] = np.nan
    two_lost[3:5] = np.nan
    assert compare_paths(one_lost, truth)[0] == pytest.approx(1)
    assert compare_paths(two_lost, truth)[0] == 0


def test_summary_counts_right_edits():
    right = score(CLIP.frames(), CLIP, edit_of(CLIP))
    wrong = score(CLIP.frames(), CLIP, edit_of(CLIP, shape="star"))
    got = summarize([right, right, wrong, wrong])
    assert got["edits"] == 4
    assert got["edits_right"] == 0.5


def test_every_clip_scores_itself_as_kept_and_followed():
    for clip in all_clips():
        got = score(clip.frames(), clip, clip.edits[0])
        assert got.path > 0.97, clip.name
        assert got.agreement > 0.8, clip.name


def test_what_is_copied_is_what_should_have_changed():
    source, change = read_frames(CLIP.frames()), edit_of(CLIP, shape="star", colour="yellow")
    assert copied(source, source, change) == 1
    assert copied(read_frames(render_scenes(edited_scenes(CLIP, change))), source, change) == 0
    half = edited_scenes(CLIP, edit_of(CLIP, colour="yellow"))
    assert copied(read_frames(render_scenes(half)), source, change) == pytest.approx(0.5, abs=0.1)
    assert copied(source, source, edit_of(CLIP)) == 0
