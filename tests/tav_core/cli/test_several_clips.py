"""`learn-start` and `tune-clips` at the command line, end to end on a tiny model."""

from __future__ import annotations

import pytest
import torch

from tav_core.cli import inputs
from tav_core.cli.main import main, parse
from tav_core.cli.several_clips import look_names
from tav_core.tuning.config import START
from tav_core.tuning.motion import Motion
from tests.tav_core.motions import equal
from tests.tav_core.tuning.video_layers.captioned import write_examples

SIZE = ["--num-frames", "3", "--stride", "1", "--width", "64", "--height", "48"]
HERE = ["--device", "cpu", "--memory", "speed"]


@pytest.fixture(scope="module")
def place(small, write_folder, tmp_path_factory):
    """A folder with a tiny checkpoint, clips and pictures."""
    place = tmp_path_factory.mktemp("start")
    write_folder(small, place / "model")
    write_examples(place / "data")
    return place


def learn(place, steps, out, *more):
    given = ["--model", f"{place / 'model'}", "--data", f"{place / 'data'}", "--out", f"{place / out}"]
    return main(["learn-start", *given, *SIZE, *HERE, "--num-steps", f"{steps}", *more])


def test_a_tuning_goes_on_from_what_it_writes(place, capsys):
    assert learn(place, 2, "start") == 0
    path = place / "start" / "start.safetensors"
    assert capsys.readouterr().out.strip() == f"{path}"
    start = Motion.load(path)
    assert not start.deltas and start.info.steps_done == 2
    clip = next(place.glob("data/*.mp4"))
    given = ["--model", f"{place / 'model'}", "--clip", f"{clip}", "--prompt", "a clip", "--out", f"{place / 'tuned'}"]
    assert main(["tune", *given, "--start-from", f"{path}", *SIZE, *HERE, "--num-steps", "1"]) == 0
    tuned = Motion.load(place / "tuned" / "motion.safetensors")
    assert tuned.deltas and any(
        not torch.equal(tensor, start.temporal[name]) for name, tensor in tuned.temporal.items()
    )


def test_the_same_command_goes_on(place):
    assert learn(place, 1, "parts") == learn(place, 2, "parts") == learn(place, 2, "whole") == 0
    one, other = (Motion.load(place / out / "start.safetensors") for out in ("parts", "whole"))
    assert equal(one, other)


def test_the_defaults_are_those_of_a_start():
    args = parse(["learn-start", "--model", "m", "--data", "d", "--out", "o"])
    assert (args.num_steps, args.learning_rate) == (START.num_steps, START.learning_rate)
    assert args.seed == START.seed and not hasattr(args, "modules")


def test_where_the_looks_go_is_checked_before_the_tuning(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tav_core.cli.several_clips.load_clips", lambda *_: (None, {"cat.mp4": None}))
    (tmp_path / "cat_look.safetensors").mkdir()
    assert main(["tune-clips", "--model", "m", "--data", "d", "--out", f"{tmp_path}", *SIZE, *HERE]) == 1
    assert "cat_look.safetensors, which is a folder" in capsys.readouterr().err


@pytest.fixture(scope="module")
def out(place):
    given = ["--model", f"{place / 'model'}", "--data", f"{place / 'data'}", "--out", f"{place / 'several'}"]
    assert main(["tune-clips", *given, *SIZE, *HERE, "--num-steps", "2", "--appearance-rank", "4"]) == 0
    return place / "several"


class TestSeveralClips:
    """`tune-clips`: one motion, and a LoRA of each clip's looks, which `edit` takes."""

    def test_the_motion_knows_how_the_clips_were_read(self, out):
        info = Motion.load(out / "motion.safetensors").info
        assert (info.num_frames, info.stride, info.width, info.height) == (3, 1, 64, 48)

    def test_each_clip_has_a_look(self, place, out):
        clips = {path.stem for path in (place / "data").iterdir() if path.suffix == ".mp4" or path.is_dir()}
        assert {path.name.removesuffix("_look.safetensors") for path in out.glob("*_look.safetensors")} >= clips
        assert not Motion.load(out / "motion.safetensors").deltas

    def test_an_edit_takes_the_motion_and_a_look(self, place, out):
        look = next(out.glob("*_look.safetensors"))
        given = ["--model", f"{place / 'model'}", "--motion", f"{out / 'motion.safetensors'}", "--lora", f"{look}:0.5"]
        size = ["--num-frames", "2", "--width", "64", "--height", "48", "--fps", "8"]
        more = ["--prompt", "a clip", "--num-steps", "1", "--device", "cpu", "--out", f"{place / 'edited'}"]
        assert main(["edit", *given, *size, *more]) == 0
        assert any((place / "edited").iterdir())


@pytest.mark.parametrize(
    ("clips", "names"),
    [
        (["a.mp4", "b.v2", "über.gif"], ["a", "b", "über"]),
        (["a.mp4", "a.webm", "A.mov"], ["a", "a.webm", "A.mov"]),
        (
            ["one/run.mp4", "two/run.mp4", "two-run.mp4", "x/two/run.mp4"],
            ["run", "run.mp4", "two-run", "x-two-run.mp4"],
        ),
        (["a/b.mp4", "a/b.MP4", "a-b.mp4"], ["b", "b.MP4", "a-b"]),
    ],
)
def test_no_look_takes_the_place_of_another(clips, names):
    assert look_names(clips) == names


def test_parentheses_of_captions_weigh_nothing(place, write_folder, monkeypatch):
    """As for all folders of captioned clips: `(` alone is no mistake, and `(word)` no stress."""
    data = place / "smile"
    write_examples(data)
    for caption in data.glob("*.txt"):
        caption.write_text("a cat (a kitten) smiles :(")
    found = []
    real = inputs.encode_prompt
    monkeypatch.setattr(inputs, "encode_prompt", lambda *args, **more: found.append(args[1]) or real(*args, **more))
    given = ["--model", f"{place / 'model'}", "--data", f"{data}", "--out", f"{place / 'smiling'}"]
    assert main(["learn-start", *given, *SIZE, *HERE, "--num-steps", "1"]) == 0
    assert set(found) == {"a cat \\(a kitten\\) smiles :\\("}


def test_stable_diffusion_xl(sdxl, write_folder, place):
    write_folder(sdxl, place / "xl")
    given = ["--model", f"{place / 'xl'}", "--data", f"{place / 'data'}", "--out", f"{place / 'several_xl'}"]
    assert main(["tune-clips", *given, *SIZE, *HERE, "--num-steps", "1", "--appearance-rank", "2"]) == 0
    assert Motion.load(place / "several_xl" / "motion.safetensors").info.size_ids == [48, 64, 0, 0, 48, 64]


def test_long_captions_are_taken_where_the_option_says_so(place, capsys):
    data = place / "data"
    own = {path: path.read_text() for path in data.glob("*.txt")}
    name = next(path for path in own if path.with_suffix(".mp4").exists())
    name.write_text("a cat runs " * 40)
    try:
        assert learn(place, 1, "short") == 1
        assert "tokens" in capsys.readouterr().err
        assert learn(place, 1, "long", "--long-prompts") == 0
    finally:
        name.write_text(own[name])
