import dataclasses

import numpy as np
import pytest

from demo.oracle import masks, oracle
from demo.oracle.oracle import UNKNOWN, read_frame, read_frames
from demo.oracle.silhouettes import match
from demo.world.clips import all_clips
from demo.world.stills import random_scene
from demo.world.world import Scene, Second, render

PARTS = ("shape", "colour", "background")
SCENE = Scene(
    shape="square",
    colour="blue",
    rgb=(0.15, 0.3, 0.9),
    background="pink",
    background_rgb=(0.95, 0.7, 0.8),
    texture="stripes",
    texture_rgb=(0.8, 0.59, 0.67),
    texture_angle=30.0,
    texture_period=28.0,
    x=40.0,
    y=55.0,
    radius=16.0,
)


def truth(count, seed):
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng) for _ in range(count)]
    return scenes, [render(scene) for scene in scenes]


def share_right(scenes, readings):
    pairs = zip(scenes, readings, strict=True)
    return np.mean([all(getattr(r, part) == getattr(s, part) for part in PARTS) for s, r in pairs])


def test_reads_rendered_truth():
    scenes, frames = truth(120, seed=11)
    readings = read_frames(frames)
    assert share_right(scenes, readings) >= 0.97
    misses = [np.hypot(r.x - s.x, r.y - s.y) for s, r in zip(scenes, readings, strict=True)]
    assert np.quantile(misses, 0.95) < 1.0


def test_reads_through_blur_and_mild_noise():
    scenes, frames = truth(60, seed=12)
    assert share_right(scenes, read_frames([masks.blur(frame, 1.1) for frame in frames])) >= 0.93
    rng = np.random.default_rng(0)
    noisy = [np.clip(frame + rng.normal(0, 0.03, frame.shape), 0, 1) for frame in frames]
    assert share_right(scenes, read_frames(noisy)) >= 0.93


def test_a_wrong_truth_scores_low():
    scenes, frames = truth(60, seed=13)
    assert share_right(scenes[1:] + scenes[:1], read_frames(frames)) < 0.3


@pytest.mark.parametrize("kind", ["uniform", "normal", "soft"])
def test_says_unknown_of_noise(kind):
    rng = np.random.default_rng(3)
    for _ in range(4):
        noise = rng.random((96, 96, 3)) if kind == "uniform" else np.clip(rng.normal(0.5, 0.3, (96, 96, 3)), 0, 1)
        if kind == "soft":
            noise = np.clip(0.5 + 6 * (masks.blur(rng.random((96, 96, 3)), 4.0) - 0.5), 0, 1)
        reading = read_frame(noise)
        assert reading.shape == UNKNOWN


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_says_unknown_of_an_empty_frame(level):
    reading = read_frame(np.full((96, 96, 3), level))
    assert reading.shape == reading.colour == UNKNOWN
    assert np.isnan(reading.x)


def test_measures_shades_stripes_and_place():
    reading = read_frame(render(SCENE))
    assert (reading.x, reading.y) == pytest.approx((40, 55), abs=0.3)
    assert reading.shade == pytest.approx(SCENE.rgb, abs=0.03)
    middle = (np.array(SCENE.background_rgb) + SCENE.texture_rgb) / 2
    assert reading.background_shade == pytest.approx(tuple(middle), abs=0.04)
    assert reading.orientation == pytest.approx(30, abs=4)
    assert reading.coherence > 0.8
    flat = read_frame(render(dataclasses.replace(SCENE, texture="plain")))
    assert reading.contrast > 0.05 > 0.005 > flat.contrast


@pytest.mark.parametrize("ink", ["none", "dark", "light"])
def test_tells_marks_and_outlines(ink):
    assert read_frame(render(dataclasses.replace(SCENE, mark=ink))).mark == ink
    assert read_frame(render(dataclasses.replace(SCENE, outline=ink))).outline == ink


def test_tells_a_sketch_from_a_filled_shape():
    reading = read_frame(render(dataclasses.replace(SCENE, style="sketch")))
    assert (reading.shape, reading.colour, reading.style, reading.mark) == ("square", "blue", "sketch", "none")
    assert read_frame(render(SCENE)).style == "plain"


def test_tells_where_light_comes_from():
    lit = read_frame(render(dataclasses.replace(SCENE, shading=0.3, light=0.0)))
    assert lit.lighting[0] > 0.15 and abs(lit.lighting[1]) < 0.08


def test_finds_a_second_object_and_does_not_take_it_for_the_first():
    second = Second(shape="circle", rgb=(0.95, 0.9, 0.2), x=75.0, y=20.0, radius=8.0)
    reading = read_frame(render(dataclasses.replace(SCENE, second=second)))
    assert (reading.shape, reading.colour, reading.second) == ("square", "blue", "yellow")
    assert (reading.second_x, reading.second_y) == pytest.approx((75, 20), abs=1)
    assert read_frame(render(SCENE)).second == "none"


@pytest.mark.parametrize("clip", all_clips(), ids=lambda clip: clip.name)
def test_reads_every_frame_of_the_clips(clip):
    for scene, reading in zip(clip.scenes, read_frames(clip.frames()), strict=True):
        assert [getattr(reading, part) for part in PARTS] == [getattr(scene, part) for part in PARTS]
        assert (reading.x, reading.y) == pytest.approx((scene.x, scene.y), abs=1.5)


def test_a_ragged_mask_matches_no_shape():
    rng = np.random.default_rng(5)
    ragged = np.zeros((96, 96), bool)
    ragged[30:36, 10:80] = True
    ragged[60:64, 20:70] = rng.random((4, 50)) < 0.5
    assert match(ragged)[1] < oracle.MIN_OVERLAP
