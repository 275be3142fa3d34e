"""demo/world/discs.py, and that the bundled T2I-Adapter does what a disc says."""

from __future__ import annotations

import numpy as np
import pytest

from demo.oracle.oracle import read_frame
from demo.trainers.sample_stills import Sampler
from demo.world.clips import clip_named
from demo.world.discs import disc, discs
from demo.world.world import SIZE, Scene

RED = {"shape": "circle", "colour": "red", "rgb": (0.8, 0.1, 0.1), "background": "blue", "background_rgb": (0, 0, 1)}


def at(x, y, **more):
    return Scene(**{**RED, **more}, x=x, y=y)


def test_a_disc_is_where_the_object_is_and_as_large():
    shown = disc(at(30.0, 61.5, radius=14.0))[..., 0]
    rows, columns = np.indices(shown.shape) + 0.5
    assert shown.shape == (SIZE, SIZE) and shown.dtype == np.float32 and 0 == shown.min() < shown.max() == 1
    assert shown.sum() == pytest.approx(np.pi * 14**2, rel=0.01)
    assert (shown * columns).sum() / shown.sum() == pytest.approx(30.0, abs=0.05)
    assert (shown * rows).sum() / shown.sum() == pytest.approx(61.5, abs=0.05)


def test_a_disc_says_nothing_of_the_outline():
    star = at(30.0, 60.0, shape="star", rotation=20.0, background="pink")
    assert np.array_equal(disc(star), disc(at(30.0, 60.0)))


def test_a_clip_has_a_disc_for_each_frame():
    clip = clip_named("slide")
    shown = discs(clip.scenes)
    assert shown.shape == (len(clip.scenes), SIZE, SIZE, 1)
    assert all(np.array_equal(one, disc(scene)) for one, scene in zip(shown.numpy(), clip.scenes, strict=True))


def test_the_bundled_adapter_puts_objects_where_discs_are():
    scenes = [at(28.0, 30.0), at(66.0, 32.0), at(30.0, 66.0), at(64.0, 64.0)]
    stills = Sampler().sample(
        ["a red circle on a blue background"] * 4, seed=3, steps=10, guidance=4.0, hints=discs(scenes)
    )
    readings = [read_frame(still) for still in stills]
    away = [np.hypot(one.x - scene.x, one.y - scene.y) for one, scene in zip(readings, scenes, strict=True)]
    assert max(away) < 6, away
