"""Random stills of the second world: what is held out, and that everything is in the picture."""

import dataclasses

import numpy as np
import pytest

from demo.creatures.drawing.canvas import SIZE
from demo.creatures.places import PLACES
from demo.creatures.scene import centre, draw, render
from demo.creatures.stills import combinations, held_out, random_scene, seen
from demo.creatures.styles import STYLES
from demo.creatures.subjects import SUBJECTS


def test_held_out_pairs_show_each_subject_once_and_no_place_more_than_twice():
    hidden = held_out()
    assert [subject for subject, _ in hidden] == list(SUBJECTS)
    places = [place for _, place in hidden]
    assert all(places.count(place) <= 2 for place in PLACES)
    assert hidden == held_out()
    assert set(hidden) | set(seen()) == set(combinations()) and not set(hidden) & set(seen())


def test_no_training_still_shows_a_held_out_pair():
    rng = np.random.default_rng(0)
    hidden = set(held_out())
    assert not any((scene.subject, scene.place) in hidden for scene in (random_scene(rng) for _ in range(500)))


@pytest.mark.parametrize("style", STYLES)
def test_a_render_is_a_picture_with_its_subject_in_it(style):
    rng = np.random.default_rng(1)
    for pair in combinations()[::7]:
        drawing = draw(random_scene(rng, pair, style=style))
        assert drawing.picture.shape == (SIZE, SIZE, 3) and drawing.picture.dtype == np.float32
        assert drawing.picture.min() >= 0 and drawing.picture.max() <= 1
        assert 0.04 < drawing.mask.mean() < 0.35
        edge = np.concatenate([drawing.mask[0], drawing.mask[:, 0], drawing.mask[:, -1]])
        assert edge.max() < 0.5, "the subject is cut off"


def test_the_centre_follows_the_subject():
    scene = random_scene(np.random.default_rng(2), ("duck", "beach"), style="plain", x=60.0)
    (x, y), (moved, level) = centre(scene), centre(dataclasses.replace(scene, x=70.0))
    assert moved - x == pytest.approx(10, abs=0.2) and level == pytest.approx(y, abs=0.2)


def test_renders_are_the_same_each_time():
    scene = random_scene(np.random.default_rng(3))
    np.testing.assert_array_equal(render(scene), render(scene))
