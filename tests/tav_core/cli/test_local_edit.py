"""Local edits from the command line, end to end on a tiny checkpoint."""

from __future__ import annotations

import pkgutil

import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.cli.local_edit import parse_frames
from tav_core.cli.main import main
from tav_core.cli.options.commands import build_parser
from tav_core.errors import ConfigError
from tav_core.sampling.config import LocalEditConfig
from tav_core.sampling.trajectory import Trajectory
from tav_core.video.clip import read_clip

FRAMES, SIDE = 4, 64


@pytest.fixture(scope="module")
def place(tmp_path_factory, small, write_folder):
    """A tiny checkpoint, ten frames, a motion tuned on every second from the first on, their inversion, masks."""
    place = tmp_path_factory.mktemp("local")
    write_folder(small, place / "model")
    (place / "clip").mkdir()
    for i, frame in enumerate(np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)):
        Image.fromarray(frame).resize((SIDE, SIDE)).save(place / "clip" / f"{i}.png")
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[24:40, 24:40] = 255
    Image.fromarray(mask).save(place / "mask.png")
    Image.fromarray(mask * 0).save(place / "black.png")
    clip = ["--clip", f"{place / 'clip'}", "--start", "1", "--stride", "2", "--num-frames", f"{FRAMES}"]
    clip += ["--width", f"{SIDE}", "--height", f"{SIDE}"]
    model, steps = ["--model", f"{place / 'model'}"], ["--num-steps", "2"]
    tuned = ["--prompt", "a cat", "--out", f"{place / 'run'}", "--memory", "speed"]
    assert main(["tune", *model, *clip, *tuned, *steps]) == 0
    motion = ["--motion", f"{place / 'run' / 'motion.safetensors'}"]
    assert main(["invert", *model, *motion, *clip, *steps, "--out", f"{place / 'way.safetensors'}"]) == 0
    return place


def edit(place, *more, out="edits", source="clip", trajectory="way.safetensors"):
    files = ["--model", f"{place / 'model'}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    files += ["--trajectory", f"{place / trajectory}"] if trajectory else []
    files += ["--source", f"{place / source}"] if source else []
    how = ["--prompt", "a dog", "--num-steps", "2", "--format", "png", "--out", f"{place / out}"]
    return main(["edit", *files, *how, *more])


def rendered(place, out):
    return read_clip(place / out / "a-dog", num_frames=FRAMES, width=SIDE, height=SIDE).frames


@pytest.fixture(scope="module")
def source(place):
    return read_clip(place / "clip", start=1, stride=2, num_frames=FRAMES, width=SIDE, height=SIDE).frames


def test_a_mask_keeps_the_source_outside_bit_for_bit(place, source):
    assert edit(place, "--mask", f"{place / 'mask.png'}", "--feather", "4", out="masked") == 0
    video = rendered(place, "masked")
    changed = (video != source).any(-1).any(0)
    assert changed[24:40, 24:40].all()
    changed[20:44, 20:44] = False
    assert not changed.any()


def test_a_masked_edit_takes_steps_again(place, source):
    mask = ["--mask", f"{place / 'mask.png'}", "--feather", "0"]
    for times in ("1", "3"):
        assert edit(place, *mask, "--resample", times, out=f"taken_{times}") == 0
    once, again = (rendered(place, f"taken_{times}") for times in ("1", "3"))
    assert not torch.equal(once[:, 24:40, 24:40], again[:, 24:40, 24:40])
    assert torch.equal(again[:, :24], source[:, :24])


def test_frames_outside_come_back_bit_for_bit(place, source):
    assert edit(place, "--frames", "1:2", "--ramp", "0", out="slice") == 0
    same = [torch.equal(*pair) for pair in zip(rendered(place, "slice"), source, strict=True)]
    assert same == [True, False, False, True]


def test_mask_and_frames_go_together(place, source):
    assert edit(place, "--frames", "2:", "--mask", f"{place / 'mask.png'}", "--feather", "0", out="both") == 0
    changed = (rendered(place, "both") != source).any(-1)
    assert changed[2:, 24:40, 24:40].any() and not changed[:2].any() and not changed[:, :24].any()


def test_a_local_prompt_changes_what_its_mask_holds(place):
    assert edit(place, source=None, out="whole") == 0
    told = ["--local-prompt", "a horse", f"{place / 'mask.png'}"]
    assert edit(place, *told, out="told") == 0
    nothing = ["--local-prompt", "a horse", f"{place / 'black.png'}"]
    assert edit(place, *nothing, out="nothing") == 0
    whole, changed, same = (rendered(place, out) for out in ("whole", "told", "nothing"))
    assert (same - whole).abs().max() < 2 / 255 < (changed - whole).abs()[:, 24:40, 24:40].max()


def counted(monkeypatch, name):
    """Calls of a function, by its name with that of its module."""
    calls, function = [], pkgutil.resolve_name(name)
    monkeypatch.setattr(name, lambda *given, **more: calls.append(given) or function(*given, **more))
    return calls


def test_a_mask_and_a_local_prompt_read_the_source_once(place, source, monkeypatch):
    encoded = counted(monkeypatch, "tav_core.cli.local_edit.encode_frames")
    mask = f"{place / 'mask.png'}"
    assert edit(place, "--mask", mask, "--feather", "0", "--local-prompt", "a horse", mask, out="one_source") == 0
    assert len(encoded) == 1
    changed = (rendered(place, "one_source") != source).any(-1).any(0)
    assert changed[24:40, 24:40].any() and not changed[:24].any()


def test_tokens_are_merged_once(place, monkeypatch):
    merged = counted(monkeypatch, "tav_core.denoisers.merged_tokens.merging_unet")
    for share in ("0.5", "0"):
        assert edit(place, "--merge-tokens", share, source=None, out=f"merged_{share}") == 0
    assert len(merged) == 1
    assert not torch.equal(rendered(place, "merged_0.5"), rendered(place, "merged_0"))


@pytest.fixture(scope="module")
def ends(place):
    """The name of a trajectory with its two ends alone."""
    way = Trajectory.load(place / "way.safetensors")
    Trajectory(latents=way.latents[[0, -1]], timesteps=way.timesteps).save(place / "ends.safetensors")
    return "ends.safetensors"


def test_frames_need_the_ends_of_a_trajectory_alone(place, source, ends):
    assert edit(place, "--frames", "1:2", "--ramp", "0", out="by_ends", trajectory=ends) == 0
    assert torch.equal(rendered(place, "by_ends")[0], source[0])


def fails(capsys, status, *said):
    printed = capsys.readouterr().err
    message = printed[printed.index("error: ") :]
    assert status == 1 and "Traceback" not in printed
    assert all(words in message for words in said), message


class TestErrors:
    """Each says what it got, what it expected and what to do."""

    def test_no_source(self, place, capsys):
        fails(capsys, edit(place, "--frames", "1:2", source=None), "without --source", "Add --source")

    def test_source_alone(self, place, capsys):
        fails(capsys, edit(place), "--source without --mask, --frames or --local-prompt", "Leave --source out")

    def test_a_local_prompt_without_the_clip_or_its_inversion(self, place, capsys):
        told = ["--local-prompt", "a horse", f"{place / 'mask.png'}"]
        fails(capsys, edit(place, *told, source=None), "a local prompt without --source", "Add --source")
        fails(capsys, edit(place, *told, trajectory=None), "--local-prompt with a random start", "--trajectory")
        fails(capsys, edit(place, *told, "--blend", f"{place / 'way.safetensors'}"), "--local-prompt with --blend")

    def test_no_trajectory(self, place, capsys):
        said = "--mask or --frames without --trajectory", "Run invert"
        fails(capsys, edit(place, "--mask", f"{place / 'mask.png'}", trajectory=None), *said)
        fails(capsys, edit(place, "--frames", "1:2", trajectory=None), *said)

    def test_a_blend(self, place, capsys):
        said = "with --blend", "one clip", "Leave --blend out"
        fails(capsys, edit(place, "--frames", "1:2", "--blend", f"{place / 'way.safetensors'}"), *said)

    def test_a_mask_for_the_ends_of_a_trajectory(self, place, ends, capsys):
        more = ["--mask", f"{place / 'mask.png'}"]
        fails(capsys, edit(place, *more, trajectory=ends), "2 latents for 2 steps", "again")

    @pytest.mark.parametrize("other", [["--start", "2"], ["--stride", "1"]])
    def test_other_frames_than_were_inverted(self, place, capsys, other):
        fails(capsys, edit(place, "--frames", "1:2", *other), "off the trajectory", "--start, --stride and --fit")

    def test_steps_again_without_a_mask(self, place, capsys):
        fails(capsys, edit(place, "--frames", "1:2", "--resample", "2"), "resample 2 without a mask")

    def test_black_mask(self, place, capsys):
        fails(capsys, edit(place, "--mask", f"{place / 'black.png'}"), "0 everywhere", "invert the mask")

    def test_missing_mask(self, place, capsys):
        fails(capsys, edit(place, "--mask", f"{place / 'gone.png'}"), "gone.png", "does not exist")

    def test_frames_beyond_the_clip(self, place, capsys):
        fails(capsys, edit(place, "--frames", "1:9"), "frames 1 to 9", "in a clip of 4")

    @pytest.mark.parametrize("wrong", ["3", "a:b", "1:2:3", "-1:2"])
    def test_frames_that_are_no_range(self, wrong):
        with pytest.raises(ConfigError, match="as in 4:12"):
            parse_frames(wrong)


@pytest.mark.parametrize(("text", "frames"), [("4:12", (4, 12)), (":0", (0, 0)), ("3:", (3, -1)), (":", (0, -1))])
def test_frames_are_a_range(text, frames):
    assert parse_frames(text) == frames


def test_options_have_the_settings_defaults():
    args = build_parser().parse_args(["edit", "--model", "m", "--motion", "x", "--prompt", "p", "--out", "o"])
    assert (args.feather, args.ramp) == (LocalEditConfig().feather, LocalEditConfig().ramp)
    assert parse_frames(":") == (LocalEditConfig().first_frame, LocalEditConfig().last_frame)
