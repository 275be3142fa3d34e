"""demo/preview_ranks.py: what a preview costs, and whether its scores put a run's motions in the right order."""

from __future__ import annotations

import math

import pytest

from demo import preview_ranks
from demo.creatures.clips import clip_named
from demo.preview_ranks import (
    FULL,
    KEPT,
    LOSS,
    PREVIEWS,
    Preview,
    format_table,
    judge_previews,
    load_rows,
    one_of_each,
    rank_correlation,
    save_rows,
    score_of,
)


def test_a_preview_costs_its_predictions():
    assert Preview(steps=20).evaluations == 60
    assert Preview(steps=8, inverted=4).evaluations == 20
    assert Preview(steps=6, stride=2).evaluations == 9


@pytest.mark.parametrize(
    ("given", "expected"),
    [([1, 2, 3, 4], 1), ([4, 3, 2, 1], -1), ([10, 20, 25, 90], 1), ([1, 1, 1, 1], 0), ([1, 3, 2, 4], 0.8)],
)
def test_ranks_are_spearmans(given, expected):
    assert rank_correlation(given, [0.1, 0.2, 0.3, 0.4]) == pytest.approx(expected)
    assert rank_correlation([1, 1, 2, 3], [1, 2, 3, 4]) == pytest.approx(0.9486833)


def test_a_subject_that_is_not_found_follows_no_path():
    row = {"right": "1", "path": "nan", "kept": "0.5"}
    assert score_of(row) == 0.5 and score_of({**row, "path": "0.9"}) == pytest.approx(0.8)


def row(preview, steps, value, prompt="a"):
    scores = {"right": value, "path": value, "kept": value}
    return {"clip": "c", "seed": 0, "steps": steps, "preview": preview, "prompt": prompt, **scores}


def test_a_preview_that_ranks_wrong_chooses_a_worse_motion(tmp_path):
    true, wrong = {5: 0.2, 10: 0.9, 25: 0.5}, {5: 0.8, 10: 0.1, 25: 0.3}
    rows = [row(FULL, step, value) for step, value in true.items()]
    rows += [row("4 steps", step, value) for step, value in wrong.items()]
    rows += [
        {"clip": "c", "seed": 0, "steps": step, "preview": LOSS, "loss": 1 - value} for step, value in true.items()
    ]
    save_rows(tmp_path / "rows.csv", rows)
    table = judge_previews(load_rows(tmp_path / "rows.csv"))
    assert table[FULL]["rank_correlation"] == pytest.approx(1) and table[FULL]["score_lost"] == 0
    assert table["4 steps"]["rank_correlation"] == pytest.approx(-1)
    assert table["4 steps"]["score_lost"] == pytest.approx(0.7)
    # A lower loss is the better one.
    assert table[LOSS]["rank_correlation"] == pytest.approx(1)
    assert "| 4 steps | 12 | 1 | -1.00 | -1.00 | 0.70 |" in format_table(table)


def test_a_run_leaves_a_file_for_each_number_of_steps_and_goes_on_from_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PREVIEWS, FULL, Preview(steps=1))
    monkeypatch.setattr(preview_ranks, "HELD_DRAWS", 1)
    asked = ["--clips", "rabbit", "--steps", "1", "2", "--previews", FULL, "--parts", "style", "--out", str(tmp_path)]
    preview_ranks.main(asked)
    assert sorted(path.name for path in tmp_path.glob("*")) == ["rabbit_0_001.csv", "rabbit_0_002.csv"]
    printed = capsys.readouterr().out
    rows = load_rows(tmp_path / "rabbit_0_002.csv")
    assert [each["preview"] for each in rows] == [FULL, LOSS] and all(math.isfinite(each["score"]) for each in rows)
    monkeypatch.setattr(preview_ranks, "motions_at", None)
    preview_ranks.main(asked)
    assert capsys.readouterr().out == printed


def test_prompts_change_one_part_each():
    for name in preview_ranks.CLIPS:
        edits = one_of_each(clip_named(name), preview_ranks.PARTS)
        assert [each.changed for each in edits] == [("subject",), ("place",), ("style",)]


def test_the_committed_figures_are_those_of_the_page():
    page = (KEPT.parents[2] / "docs" / "time-to-edit.md").read_text(encoding="utf-8")
    assert format_table(judge_previews(load_rows(KEPT))) in page
