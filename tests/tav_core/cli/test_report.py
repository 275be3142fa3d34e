"""`python -m tav_core report`, end to end with the tiny judges of this folder's conftest.py."""

from __future__ import annotations

import re
import shutil
import sys

import numpy as np
import pytest
import torch

from tav_core.cli.main import main
from tav_core.tensor_files import save_tensors
from tav_core.video.write import write_video


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A source of 12 frames, and two videos of 6 made from every other of them."""
    place = tmp_path_factory.mktemp("report")
    source = np.random.default_rng(0).random((12, 48, 64, 3), dtype=np.float32)
    write_video(place / "source.mp4", source, fps=12)
    write_video(place / "same.mp4", source[::2], fps=6)
    write_video(place / "other.mp4", 1 - source[::2], fps=6)
    return place


def report(place, *more):
    videos = [word for name in ("same", "other") for word in ("--video", f"{place / name}.mp4")]
    return main(["report", *videos, "--out", f"{place / 'report.html'}", "--device", "cpu", *more])


def fails(capsys, status, *said):
    assert status == 1
    message = capsys.readouterr().err
    message = message[message.index("error: ") :]
    assert message.startswith("error: Got ") and "Expected " in message
    assert all(words in message for words in said), message


def test_everything(place, clip_folder, dino_folder, capsys, offline):
    pytest.importorskip("cv2")
    losses = np.array([0.5, 0.25, 0.125])
    save_tensors(place / "state.safetensors", {"losses": torch.from_numpy(losses)}, {})
    weights = ["--clip-model", f"{clip_folder}", "--dino", f"{dino_folder}"]
    source = ["--source", f"{place / 'source.mp4'}", "--stride", "2", "--source-prompt", "noise"]
    prompts = ["--prompt", "noise", "--prompt", "other noise", "--label", "the same", "--label", "another"]
    assert report(place, *weights, *source, *prompts, "--state", f"{place / 'state.safetensors'}") == 0
    printed = capsys.readouterr().out
    page = (place / "report.html").read_text()
    for words in ("source", "the same", "another", "CLIP text score", "DINO likeness to the source", "warp error"):
        assert words in printed and words in page
    likeness = [float(found) for found in re.findall(r"DINO likeness to the source +([\d.]+)", printed)]
    assert likeness[0] > 99.5 > likeness[1], "the stride picks the frames that the video was made from"
    assert page.count("data:video/mp4") == 3
    assert "3 steps" in page and "other noise" in page and "6 frames, 64x48, 6 frames per second" in page


def test_videos_alone(place, capsys):
    assert report(place, "--no-flow", "--num-frames", "4") == 0
    printed = capsys.readouterr().out
    assert "second difference" in printed and "motion" not in printed
    assert "4 frames" in (place / "report.html").read_text()


def test_two_files_of_one_name_are_told_apart(place, capsys):
    """Each with a table of its own."""
    videos = []
    for folder in ("a", "b"):
        (place / folder).mkdir()
        videos += ["--video", f"{shutil.copy(place / 'same.mp4', place / folder / 'out.mp4')}"]
    prompts = ["--prompt", "a dog", "--prompt", "a cow"]
    given = ["report", *videos, *prompts, "--no-flow", "--num-frames", "4", "--out", f"{place / 'two.html'}"]
    for more, labels in (([], ("a/out", "b/out")), (["--label", "it", "--label", "it"], ("it", "it-2"))):
        assert main([*given, *more]) == 0
        assert [line for line in capsys.readouterr().out.splitlines() if line in labels] == [*labels]
        page = (place / "two.html").read_text()
        assert all(f"Video: {label}" in page for label in labels) and "a dog" in page and "a cow" in page


def test_prompts_without_clip_are_on_the_page(place, capsys):
    """As the README's command has them."""
    assert report(place, "--no-flow", "--num-frames", "4", "--prompt", "a dog", "--prompt", "a cow") == 0
    page = (place / "report.html").read_text()
    assert "a dog" in page and "a cow" in page and "CLIP text score" not in capsys.readouterr().out


def test_without_opencv_the_motion_is_left_out_and_the_page_says_so(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert report(place, "--num-frames", "4") == 0
    assert "warp error" not in capsys.readouterr().out
    assert "OpenCV is not installed" in (place / "report.html").read_text()


class TestErrors:
    """Each says what it got, what it expected and what to do."""

    def test_labels_and_prompts_are_one_per_video(self, place, capsys):
        fails(capsys, report(place, "--label", "one"), "1 --label for 2 --video")
        fails(capsys, report(place, "--prompt", "one"), "1 --prompt for 2 --video")

    def test_a_state_is_read_before_anything_is_measured(self, place, capsys, monkeypatch):
        monkeypatch.setattr("tav_core.cli.report.read_whole", None)
        save_tensors(place / "none.safetensors", {"x": torch.zeros(1)}, {})
        for name in ("none", "gone"):
            status = report(place, "--state", f"{place / name}.safetensors")
            fails(capsys, status, f"{name}.safetensors", "Give the state.safetensors that tune wrote", "--state out")

    def test_a_source_that_is_too_short(self, place, capsys):
        fails(capsys, report(place, "--source", f"{place / 'source.mp4'}", "--stride", "3"), "12 frames", "stride 3")

    def test_no_clip_there(self, place, capsys):
        fails(capsys, report(place, "--clip-model", "openai/clip-vit-base-patch32"), "model hub")
