"""The command `batch`: from a list to results and an exit status; and the bundled list."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tav_core.batch import stages
from tav_core.cli.batch import read_loras
from tav_core.cli.main import main
from tav_core.errors import ClipError
from tav_core.tuning.motion import Motion
from tests.project_files import ROOT
from tests.tav_core.batch.conftest import place  # noqa: F401

SMALL = ["--num-frames", "3", "--width", "32", "--height", "32", "--num-steps", "2", "--tune-num-steps", "2"]
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


def test_a_batch_does_what_the_commands_do_one_by_one(place, tmp_path):  # noqa: F811
    """With a preset, an option over it, and the same model."""
    model = ["--model", str(place / "model"), "--device", "cpu"]
    size = ["--num-frames", "3", "--width", "32", "--height", "32"]
    own = ["--preset", "style", "--inject-attention", "0.5", "--guidance-scale", "3"]
    few = ["--tune-num-steps", "2", "--num-steps", "2", "--tune-memory", "speed", "--no-flow", "--format", "png"]
    (place / "one.csv").write_text("clip,prompt,edit,type\ncat.mp4,a cat,a dog,object\n")
    assert main(["batch", str(place / "one.csv"), *model, "--out", str(tmp_path / "run"), *size, *own, *few]) == 0
    clip = ["--clip", str(place / "cat.mp4")]
    tuning = ["--prompt", "a cat", "--preset", "style", "--num-steps", "2", "--memory", "speed"]
    assert main(["tune", *model, *clip, *size, *tuning, "--out", str(tmp_path / "tune")]) == 0
    motion = ["--motion", str(tmp_path / "tune" / "motion.safetensors")]
    inverted = str(tmp_path / "inverted.safetensors")
    assert main(["invert", *model, *motion, *clip, "--num-steps", "2", "--out", inverted]) == 0
    how = ["--trajectory", inverted, "--prompt", "a dog", *own, "--format", "png", "--out", str(tmp_path / "edit")]
    assert main(["edit", *model, *motion, *how]) == 0
    (edit,) = (tmp_path / "run").rglob("edits/object")
    for picture in (tmp_path / "edit" / "a-dog").iterdir():
        assert (edit / picture.name).read_bytes() == picture.read_bytes()


def test_a_batch_goes_on_in_the_modes_of_its_start_unless_options_say_otherwise(place, tmp_path):  # noqa: F811
    """As `tune` does; it was refused after the first clip was encoded, as a motion of other modes."""
    modes = ["--attention", "full", "--positions", "rotary", "--group-norm", "clip"]
    few = ["--only", "cat", "--stages", "tune"]
    assert batch(place, tmp_path / "one", *few, *modes) == 0
    (start,) = (tmp_path / "one").rglob("motion.safetensors")
    assert batch(place, tmp_path / "on", *few, "--start-from", str(start)) == 0
    assert batch(place, tmp_path / "other", *few, "--start-from", str(start), "--group-norm", "frame") == 0
    assert batch(place, tmp_path / "plain", *few) == 0
    first, on, other, plain = (
        Motion.load(next((tmp_path / run).rglob("motion.safetensors"))).info.modes
        for run in ("one", "on", "other", "plain")
    )
    assert on == first and first["group_norm"] == "clip" and first["attention"] == "full"
    assert other == {**first, "group_norm": "frame"} and plain["group_norm"] == "frame" != first["group_norm"]


def test_a_lora_that_is_given_twice_adds_up(tmp_path):
    path = str(tmp_path / "look.safetensors")
    found = read_loras([path, f"{path}:0.5", "other.safetensors:0.25"])
    assert found == {path: 1.5, str(Path("other.safetensors").absolute()): 0.25}


def test_failures_are_a_table_and_the_exit_status(place, tmp_path, capsys, monkeypatch):  # noqa: F811
    def lost(*args, **how):
        raise ClipError(got="a mask that is gone", expected="a mask", mend="Put it back.")

    monkeypatch.setattr(stages, "read_mask", lost)
    rows = ("clip,prompt,edit,type,mask", "cat.mp4,a cat,a fox,torn,mask", "cat.mp4,a cat,a dog,whole,")
    (place / "torn.csv").write_text("\n".join(rows))
    assert batch(place, tmp_path / "run", listed="torn.csv") == 1
    told = capsys.readouterr().out
    assert "1 failure\n  cat, edit torn (failed)" in told and "expected  " in told and "log.txt" in told
    with (tmp_path / "run" / "results.csv").open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["failed", "done"]


def test_every_prompt_that_is_too_long_is_told_before_the_first_job(place, tmp_path, capsys):  # noqa: F811
    long = " ".join(["word"] * 90)
    rows = ("clip,prompt,edit,negative", f"cat.mp4,a cat,{long},", f"car.mp4,a car,a red car,ugly {long}")
    (place / "long.csv").write_text("\n".join(rows))
    assert batch(place, tmp_path / "run", listed="long.csv") == 1
    told = capsys.readouterr().err
    assert "line 2" in told and "a prompt of 90 tokens" in told and "expected at most 75" in told
    assert "line 3" in told and "a prompt of 91 tokens" in told and not (tmp_path / "run").exists()
    assert batch(place, tmp_path / "run", "--long-prompts", "--dry-run", listed="long.csv") == 0


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
