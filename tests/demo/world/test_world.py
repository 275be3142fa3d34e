import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from demo.world import palette, sdf
from demo.world.captions import caption, phrase, size_word, vocabulary
from demo.world.stills import NUM_HELD_OUT, held_out, random_scene
from demo.world.world import TEXTURES, Scene, combinations, fits, render

PLAIN = Scene(
    shape="circle", colour="red", rgb=(0.8, 0.1, 0.1), background="white", background_rgb=(1.0, 1.0, 1.0), radius=15.0
)


def scenes(count, seed=0):
    rng = np.random.default_rng(seed)
    return [random_scene(rng) for _ in range(count)]


def test_render_gives_float_pictures_in_range_and_repeats():
    for scene in scenes(8):
        picture = render(scene)
        assert picture.shape == (96, 96, 3) and picture.dtype == np.float32
        assert picture.min() >= 0 and picture.max() <= 1
        assert np.array_equal(picture, render(scene))


@pytest.mark.parametrize("shape", sdf.SHAPES)
@pytest.mark.parametrize("degrees", [0.0, 37.0])
def test_shapes_have_about_a_circles_area_and_their_centre(shape, degrees):
    scene = dataclasses.replace(PLAIN, shape=shape, x=40.3, y=52.7, rotation=degrees)
    covered = (1.0 - render(scene)[..., 1]) / 0.9
    rows, columns = np.indices(covered.shape) + 0.5
    assert covered.sum() == pytest.approx(np.pi * 15**2, rel=0.2)
    assert (columns * covered).sum() / covered.sum() == pytest.approx(40.3, abs=0.25)
    assert (rows * covered).sum() / covered.sum() == pytest.approx(52.7, abs=0.25)


def test_edges_are_antialiased():
    picture = render(dataclasses.replace(PLAIN, x=40.3, y=52.7))[..., 1]
    assert len(np.unique(picture.round(3))) > 20


def test_rotation_turns_the_shape():
    square = dataclasses.replace(PLAIN, shape="square")
    turned = render(dataclasses.replace(square, rotation=45.0))
    assert np.abs(turned - render(square)).max() > 0.5
    assert np.allclose(render(dataclasses.replace(square, rotation=90.0)), render(square), atol=1e-3)


def test_a_larger_picture_shows_the_same_scene():
    scene = scenes(1)[0]
    halved = render(scene, 192).reshape(96, 2, 96, 2, 3).mean((1, 3))
    assert np.abs(halved - render(scene)).mean() < 0.01


@pytest.mark.parametrize(
    "change",
    [
        {"outline": "dark"},
        {"mark": "light"},
        {"shading": 0.3},
        {"style": "sketch"},
        {"texture": "stripes", "texture_rgb": (0.8, 0.8, 0.8)},
        {"texture": "checker", "texture_rgb": (0.8, 0.8, 0.8)},
    ],
)
def test_every_unnamed_part_shows(change):
    assert np.abs(render(dataclasses.replace(PLAIN, **change)) - render(PLAIN)).max() > 0.15


def test_stills_hold_variety_that_no_caption_names():
    drawn = scenes(400)
    assert {scene.texture for scene in drawn} == set(TEXTURES)
    assert {scene.outline for scene in drawn} == {"none", "dark", "light"}
    assert 0.1 < np.mean([scene.second is not None for scene in drawn]) < 0.4
    reds = np.array([scene.rgb for scene in drawn if scene.colour == "red"])
    assert reds.std(0).max() > 0.08
    for scene in drawn:
        assert fits(scene.shape, scene.x, scene.y, scene.radius)


def test_hues_of_two_colour_words_never_meet():
    ranges = sorted(hue for name, (hue, _, _) in palette.COLOURS.items() if name != "white")
    gaps = [after[0] - before[1] for before, after in pairwise(ranges)]
    assert min(gaps) >= 30


def test_held_out_combinations_are_never_drawn():
    unseen = held_out()
    assert len(unseen) == len(set(unseen)) == NUM_HELD_OUT
    assert set(unseen) <= set(combinations())
    drawn = {(scene.shape, scene.colour, scene.background) for scene in scenes(1500)}
    assert not drawn & set(unseen)
    assert len(drawn) == len(combinations()) - NUM_HELD_OUT


def test_captions_say_what_is_there_and_leave_parts_out():
    rng = np.random.default_rng(1)
    said = {"shape": 0, "colour": 0, "background": 0}
    drawn = scenes(600)
    for scene in drawn:
        thing, _, behind = caption(scene, rng).replace(", ", " on a ").partition(" on a ")
        for part in ("shape", "colour"):
            said[part] += getattr(scene, part) in thing.split()
        said["background"] += scene.background in behind.split()
        assert ("sketch" in thing) == (scene.style == "sketch")
        words = set(thing.split()) & {"small", "big"}
        assert words <= {size_word(scene.radius)}
    assert 0.85 < said["shape"] / 600 < 0.95
    assert 0.8 < said["colour"] / 600 < 0.9
    assert 0.8 < said["background"] / 600 < 0.9


def test_phrases_read_as_sentences():
    assert phrase(shape="star", colour="red", background="blue") == "a red star on a blue background"
    assert phrase(colour="red", size="small", order=1, background="pink") == "a small red thing, pink background"
    assert phrase(shape="circle", style="sketch") == "a sketch of a circle"


def test_every_caption_word_is_in_the_vocabulary():
    rng = np.random.default_rng(2)
    known = set(vocabulary())
    for scene in scenes(200):
        assert set(caption(scene, rng).replace(",", " ,").split()) <= known
