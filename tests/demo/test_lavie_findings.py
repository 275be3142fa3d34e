"""demo/lavie_findings.py: what is scored, kept and told; the trainings themselves take hours."""

from __future__ import annotations

import numpy as np
import pytest

from demo.lavie.trainers.nets import make_base
from demo.lavie_findings import LESSONS, SCORES, append_result, read_results, same_run, score, score_picture, table
from demo.world.stills import held_out, random_scene
from demo.world.world import render


def test_results_are_kept_and_read_back(tmp_path):
    path = tmp_path / "findings.csv"
    rows = [
        {
            "lesson": name,
            "seed": seed,
            "steps": 400,
            "videos": 20,
            "stills": "0123abcd",
            **dict.fromkeys(SCORES, 0.25 + 0.5 * seed),
        }
        for name in ("rotary", "clips alone")
        for seed in (0, 1)
    ]
    for row in rows:
        append_result(row, path)
    assert read_results(path) == rows
    assert [same_run(row, {"seed": 1, "stills": "0123abcd"}) for row in rows] == [False, True] * 2
    lines = table(read_results(path)).splitlines()
    assert len(lines) == 4 and lines[2].startswith("| rotary | 2 | 0.500 ± 0.250 |")


def test_lessons_differ_in_one_thing_each():
    usual = LESSONS["rotary and bias"]
    for lesson in LESSONS.values():
        changed = [name for name in ("images", "positions") if getattr(lesson, name) != getattr(usual, name)]
        assert len(changed) == (lesson is not usual)


@pytest.mark.parametrize("shown", [0, 1])
def test_a_picture_is_right_if_it_shows_the_whole_combination(shown):
    combination = held_out()[0]
    scene = random_scene(np.random.default_rng(3), held_out()[shown])
    assert score_picture(render(scene)[None], combination) == (1.0 if shown == 0 else 0.0)


def test_a_base_that_knows_nothing_gets_nothing_right(monkeypatch):
    monkeypatch.setattr("demo.lavie_findings.SAMPLING_STEPS", 1)
    found = score(make_base().eval(), seed=0, count=1)
    assert set(found) == set(SCORES) and found["right"] == 0 == found["still_right"]
