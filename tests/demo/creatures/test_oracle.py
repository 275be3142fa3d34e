"""demo/creatures/oracle: what it reads in truth, blur and noise, and that it says "unknown" where nothing is sure."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from demo.creatures.clips import all_clips, clip_named
from demo.creatures.oracle import UNKNOWN, Oracle
from demo.creatures.oracle.reading import ORACLES
from demo.creatures.oracle.scores import gait_correlation, score
from demo.creatures.scene import centre, render
from demo.creatures.stills import combinations, random_scene
from demo.creatures.subjects import SUBJECTS

NAMES = ("subject", "place", "style")


@pytest.fixture(scope="module")
def oracle():
    return Oracle()


@pytest.fixture(scope="module")
def scenes():
    """Every pair of subject and place twice; no training saw them."""
    rng = np.random.default_rng(77)
    return [random_scene(rng, pair) for pair in combinations() * 2]


@pytest.fixture(scope="module")
def pictures(scenes):
    return np.stack([render(scene) for scene in scenes]).astype(np.float32)


@pytest.mark.parametrize("weights", ORACLES, ids=["first", "second"])
def test_both_oracles_read_what_is_there(weights, scenes, pictures):
    assert min(shares(Oracle(weights).read(pictures[:84]), scenes[:84]).values()) >= 0.97


def shares(readings, scenes):
    return {
        name: np.mean([getattr(r, name) == getattr(s, name) for r, s in zip(readings, scenes, strict=True)])
        for name in NAMES
    }


def test_truth_is_read_right(oracle, scenes, pictures):
    readings = oracle.read(pictures)
    assert min(shares(readings, scenes).values()) >= 0.97
    for subject in SUBJECTS:
        of = [(reading, scene) for reading, scene in zip(readings, scenes, strict=True) if scene.subject == subject]
        assert np.mean([reading.subject == subject for reading, _ in of]) >= 0.95
    away = np.hypot(*(np.array([(r.x, r.y) for r in readings]) - [centre(scene) for scene in scenes]).T)
    assert np.median(away) < 1.5 and np.percentile(away, 95) < 4
    turns = np.array([(r.phase - s.phase + 0.5) % 1 - 0.5 for r, s in zip(readings, scenes, strict=True)])
    assert np.median(np.abs(turns)) < 0.05


def blurred(pictures):
    return np.stack([cv2.GaussianBlur(picture, (0, 0), 1.6) for picture in pictures])


def noisy(pictures):
    grain = np.random.default_rng(0).normal(0, 0.06, pictures.shape)
    return (pictures + grain).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("spoil", [blurred, noisy])
def test_blur_and_noise_cost_little(oracle, scenes, pictures, spoil):
    assert min(shares(oracle.read(spoil(pictures)), scenes).values()) >= 0.95


def test_where_nothing_is_certain_it_says_so(oracle, scenes, pictures):
    rng = np.random.default_rng(1)
    patches = np.stack([cv2.resize(rng.random((4, 4, 3), np.float32), (128, 128)) for _ in range(40)])
    grain = rng.random((40, 128, 128, 3), np.float32)
    for nothing in (patches, grain):
        assert np.mean([reading.subject == UNKNOWN for reading in oracle.read(nothing)]) >= 0.9
    pairs = [(i, -1 - i) for i in range(80) if scenes[i].subject != scenes[-1 - i].subject]
    mixed = np.stack([(pictures[i] + pictures[j]) / 2 for i, j in pairs])
    sure = np.mean([reading.subject != UNKNOWN for reading in oracle.read(mixed)])
    assert sure <= 0.5


@pytest.mark.parametrize("clip", all_clips(), ids=lambda clip: clip.name)
def test_a_clip_itself_keeps_its_path_its_gait_and_all_it_shows(clip):
    same = dataclasses.replace(
        clip.edits[0],
        **{part: getattr(clip.scenes[0], part) for part in ("subject", "place", "style")},
        thing=None,
        changed=(),
    )
    scores = score(clip.frames(), clip, same)
    assert scores.right == 1 and scores.path > 0.97 and scores.gait > 0.95
    assert scores.kept == pytest.approx(1, abs=0.01) and scores.background_kept == 1


def test_a_frozen_clip_has_neither_path_nor_gait_and_a_reversed_one_the_opposite_path():
    clip = clip_named("bear")
    still = dataclasses.replace(clip.edits[0], subject="bear", changed=())
    frozen = score(np.repeat(clip.frames()[:1], 8, axis=0), clip, still)
    assert abs(frozen.path) < 0.2 and abs(frozen.gait) < 0.05
    assert score(clip.frames()[::-1].copy(), clip, still).path < -0.9


@dataclasses.dataclass
class Phase:
    """As much of a reading as the gait is scored by."""

    phase: float
    steadiness: float = 1.0


def test_gait_is_the_agreement_of_the_phases_and_unsure_ones_count_little():
    truth = np.arange(8) / 8
    assert gait_correlation([Phase(t) for t in truth], truth) == pytest.approx(1)
    assert gait_correlation([Phase(t + 1 / 4) for t in truth], truth) == pytest.approx(0, abs=1e-6)
    assert gait_correlation([Phase(t + 1 / 2) for t in truth], truth) == pytest.approx(-1)
    for other in ([Phase(2 * t) for t in truth], [Phase(0.3)] * 8, [Phase(-t) for t in truth]):
        assert abs(gait_correlation(other, truth)) < 1e-6
    unsure = [Phase(t, 1.0) if index % 2 else Phase(0.9, 0.05) for index, t in enumerate(truth)]
    assert gait_correlation(unsure, truth) > 0.99
