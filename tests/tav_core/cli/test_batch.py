"""The command `batch`: from a list to results and an exit status; and the bundled list."""

from __future__ import annotations

import csv

import pytest

from tav_core.cli.main import main
from tests.project_files import ROOT
from tests.tav_core.batch.conftest import place  # noqa: F401

SMALL = ["--num-frames", "3", "--width", "64", "--height", "64", "--num-steps", "2", "--tune-num-steps", "2"]
SMALL += ["--threads", "1", "--no-flow", "--tune-memory", "speed"]


def batch(place, out, *more, listed="list.csv"):  # noqa: F811
    return main(["batch", str(place / listed), "--model", str(place / "model"), "--out", str(out), *SMALL, *more])


def test_a_batch_its_status_and_its_export(place, tmp_path, capsys):  # noqa: F811
    assert batch(place, tmp_path / "run", "--dry-run") == 0
    assert "2 clips, 3 edits" in capsys.readouterr().out and not (tmp_path / "run").exists()
    assert batch(place, tmp_path / "run", "--export", "vbench", "--only", "cat") == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.rpartition("/")[2] for line in told if line.endswith((".csv", ".html"))] == [
        "results.csv",
        "index.html",
    ]
    assert told[-1].endswith("vbench  2 of 3 edits")
    assert main(["batch", "--status", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.strip() == "2 jobs: 1 done, 1 waiting"
    assert batch(place, tmp_path / "run", "--shard", "2/2") == 0
    with (tmp_path / "run" / "results.csv").open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["done"] * 3


def test_failures_are_a_table_and_the_exit_status(place, tmp_path, capsys):  # noqa: F811
    long = " ".join(["word"] * 90)
    (place / "long.csv").write_text(f"clip,prompt,edit,type\ncat.mp4,a cat,{long},long\ncat.mp4,a cat,a dog,short\n")
    assert batch(place, tmp_path / "run", listed="long.csv") == 1
    told = capsys.readouterr().out
    assert "1 failure\n  cat, edit long (failed)" in told and "expected  at most 75" in told and "log.txt" in told
    with (tmp_path / "run" / "results.csv").open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["failed", "done"]


@pytest.mark.parametrize("words", [["--workers", "2"], ["--address", "auto", "--executor", "processes"]])
def test_an_option_of_another_executor_is_not_left_unused(place, tmp_path, capsys, words):  # noqa: F811
    assert batch(place, tmp_path / "run", *words) == 1
    assert f"{words[0]} {words[1]} with --executor" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["batch"], "without a list"),
        (["batch", "list.csv", "--model", "m"], "without --out"),
        (["batch", "list.csv", "--model", "m", "--out", "o"], "no such file"),
        (["batch", "--status", "nowhere"], "without batch.json"),
        (["study", "page", "--a", "x", "--b", "y", "--out", "study.txt"], "ends in .html"),
        (["study", "serve", "nothing.html", "--answers", "x"], "no such file"),
    ],
)
def test_what_is_refused(words, told, capsys):
    assert main(words) == 1
    assert told in capsys.readouterr().err


def test_the_bundled_list_is_eight_clips_with_six_edits(tmp_path, capsys):
    listed = ROOT / "demo" / "evaluation" / "manifest.yaml"
    words = ["batch", str(listed), "--model", str(ROOT / "demo" / "model"), "--out", str(tmp_path), "--dry-run"]
    assert main(words) == 0
    assert "8 clips, 48 edits" in capsys.readouterr().out


def test_the_bundled_list_is_that_of_the_demo_world():
    from demo.make_evaluation import HEAD, describe
    from demo.world.clips import all_clips

    text = "".join([HEAD, *(line for clip in all_clips() for line in describe(clip))])
    assert (ROOT / "demo" / "evaluation" / "manifest.yaml").read_text() == text
