"""Flow guidance from the command line, end to end on a tiny checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tav_core.cli.main import main, parse
from tav_core.cli.video_files import edit_settings
from tav_core.sampling.config import EditConfig
from tav_core.video.clip import read_clip
from tav_core.video.write import write_video

pytest.importorskip("cv2")
FRAMES, SIDE = 5, 64


@pytest.fixture(scope="module")
def place(tmp_path_factory, small, write_folder):
    """A tiny checkpoint, a clip, a motion tuned on it, and its inversion."""
    place = tmp_path_factory.mktemp("flow")
    write_folder(small, place / "model")
    write_video(place / "clip.mp4", np.random.default_rng(0).random((FRAMES, SIDE, SIDE, 3), dtype=np.float32), fps=8)
    model, steps = ["--model", f"{place / 'model'}"], ["--num-steps", "2"]
    clip = ["--clip", f"{place / 'clip.mp4'}", "--num-frames", f"{FRAMES}", "--width", f"{SIDE}", "--height", f"{SIDE}"]
    tuned = ["--prompt", "a cat", "--out", f"{place / 'run'}", "--memory", "speed"]
    assert main(["tune", *model, *clip, *tuned, *steps]) == 0
    motion = ["--motion", f"{place / 'run' / 'motion.safetensors'}"]
    assert main(["invert", *model, *motion, *clip, *steps, "--out", f"{place / 'way.safetensors'}"]) == 0
    return place


def edit(place, *more, out="edits", trajectory=True):
    files = ["--model", f"{place / 'model'}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    files += ["--trajectory", f"{place / 'way.safetensors'}"] if trajectory else []
    how = ["--prompt", "a dog", "--num-steps", "2", "--format", "png", "--out", f"{place / out}"]
    return main(["edit", *files, *how, *more])


def rendered(place, *more, out, num_frames=FRAMES):
    assert edit(place, *more, out=out) == 0
    return read_clip(place / out / "a-dog", num_frames=num_frames, width=SIDE, height=SIDE).frames


@pytest.fixture(scope="module")
def plain(place):
    return rendered(place, out="plain")


@pytest.fixture(scope="module")
def guided(place):
    return rendered(place, "--flow-guided", out="guided")


def test_it_changes_the_edit(plain, guided):
    assert not torch.equal(plain, guided)


def test_for_no_step_it_is_the_plain_edit(place, plain):
    assert torch.equal(rendered(place, "--flow-guided", "--flow-until", "0", out="none"), plain)


def test_its_settings_count(place, guided):
    for out, more in {"levels": ["--flow-levels", "3"], "match": ["--flow-match", "queries"]}.items():
        assert not torch.equal(rendered(place, "--flow-guided", *more, out=out), guided)


def test_it_goes_with_windows_and_injection_and_a_stretched_motion(place, guided, plain):
    windows = ["--context-length", "3", "--context-overlap", "1"]
    for out, more in {"windows": windows, "inject": ["--inject"], "both": [*windows, "--inject"]}.items():
        both = rendered(place, "--flow-guided", *more, out=out)
        assert not torch.equal(both, guided)
        assert not torch.equal(both, rendered(place, *more, out=f"{out} alone"))
    slow = rendered(place, "--flow-guided", "--speed", "0.5", out="slow", num_frames=2 * FRAMES - 1)
    assert len(slow) == 2 * FRAMES - 1


@pytest.mark.parametrize(
    ("more", "trajectory", "words"),
    [
        (["--flow-levels", "2"], True, ["--flow-* options without --flow-guided", "Add --flow-guided"]),
        (["--flow-weights", "raft.pth"], True, ["without --flow-guided"]),
        (["--flow-guided"], False, ["--flow-guided without --trajectory", "Run invert"]),
        (["--flow-guided", "--flow-levels", "0"], True, ["levels 0", "1 to 4"]),
        (["--flow-guided", "--animation", "a.mp4"], False, ["--flow-guided with --animation", "invert the animation"]),
    ],
)
def test_what_does_not_go_together_is_said(place, capsys, more, trajectory, words):
    assert edit(place, *more, out="refused", trajectory=trajectory) == 1
    said = capsys.readouterr().err
    assert all(word in said for word in words), said


def test_weights_that_are_none_of_rafts_are_refused(place, capsys):
    (place / "raft.pth").write_bytes(b"nothing")
    assert edit(place, "--flow-guided", "--flow-weights", f"{place / 'raft.pth'}", out="refused") == 1
    said = capsys.readouterr().err
    assert "raft.pth" in said or "no torchvision" in said


def test_a_video_tells_how_it_was_guided():
    given = ["edit", "--model", "m", "--motion", "x", "--out", "o", "--prompt", "p", "--trajectory", "t"]
    assert not {name for name in edit_settings(parse(given), EditConfig()) if name.startswith("flow")}
    told = edit_settings(
        parse([*given, "--flow-guided", "--flow-levels", "2", "--flow-weights", "a/raft.pth"]), EditConfig()
    )
    assert (told["flow_guided"], told["flow_levels"], told["flow_weights"]) == (True, 2, "raft.pth")
    assert (told["flow_match"], told["flow_until"]) == ("output", 1.0)
