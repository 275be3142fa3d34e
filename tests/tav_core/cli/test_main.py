"""The command line, end to end on a tiny checkpoint, and what it says when something is wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.cli.main import main, parse
from tav_core.cli.options.commands import build_parser
from tav_core.cli.options.settings import read_settings
from tav_core.sampling.config import EditConfig, InjectionConfig
from tav_core.sampling.trajectory import Trajectory
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.motion import Motion
from tav_core.video.clip import read_clip
from tav_core.video.write import write_video
from tests.tav_core.metrics.tiny_judges import make_clip, save_clip

SIZE = ["--num-frames", "4", "--width", "64", "--height", "64"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, small, sd2, write_folder):
    """A folder with two tiny checkpoints, a clip, and a motion and trajectory made from them."""
    place = tmp_path_factory.mktemp("cli")
    write_folder(small, place / "model")
    write_folder(sd2, place / "other")
    clip = np.random.default_rng(0).random((6, 48, 64, 3), dtype=np.float32)
    write_video(place / "clip.mp4", clip, fps=12)
    (place / "text.mp4").write_text("this is no video")
    assert tune(place, "--num-steps", "2", "--prompt", "a cat runs") == 0
    assert invert(place) == 0
    return place


def tune(place, *more, model="model", clip="clip.mp4", out="run"):
    model = ["--model", f"{place / model}", "--clip", f"{place / clip}", "--out", f"{place / out}"]
    return main(["tune", *model, *SIZE, "--memory", "speed", *more])


def invert(place, *more, model="model"):
    files = ["--model", f"{place / model}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    out = ["--clip", f"{place / 'clip.mp4'}", "--out", f"{place / 'trajectory.safetensors'}"]
    return main(["invert", *files, *out, "--num-steps", "2", *more])


def edit(place, *more, model="model", out="edits"):
    files = ["--model", f"{place / model}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    return main(["edit", *files, "--num-steps", "2", "--out", f"{place / out}", *more])


def test_a_run_says_first_how_long_it_will_take(place, capsys):
    """Not of a few steps, which take no longer than to find out."""
    assert tune(place, "--num-steps", "10", "--prompt", "a cat runs", out="timed") == 0
    assert "time: about a few seconds on this CPU (1 thread), without previews" in capsys.readouterr().err
    assert invert(place, "--num-steps", "10", "--out", f"{place / 'timed.safetensors'}") == 0
    assert "time: about a few seconds on this CPU" in capsys.readouterr().err
    assert edit(place, "--num-steps", "5", "--prompt", "a dog runs", "--prompt", "a fox runs", out="timed_edits") == 0
    assert "time: about a few seconds on this CPU" in capsys.readouterr().err
    assert edit(place, "--prompt", "a dog runs", out="timed_edits") == 0
    assert "time:" not in capsys.readouterr().err


def test_tune_writes_a_motion_that_says_how_it_was_made(place):
    info = Motion.load(place / "run" / "motion.safetensors").info
    assert (info.prompt, info.steps_done, info.num_frames, info.width, info.fps) == ("a cat runs", 2, 4, 64, 12)
    assert (place / "run" / "state.safetensors").is_file()


def test_tuning_that_stops_early_keeps_the_best_motion(place, tmp_path, capsys):
    judge = save_clip(make_clip(), tmp_path)
    more = ["--num-steps", "6", "--score-every", "2", "--patience", "1", "--prompt", "a cat runs"]
    asked = [*more, "--learning-rate", "1e-3", "--stop-early", "a dog runs", "--clip-model", f"{judge}"]
    assert tune(place, *asked, out="early") == 0
    *scores, path = capsys.readouterr().out.splitlines()
    steps, values = zip(*((int(line.split()[0]), float(line.split()[2])) for line in scores), strict=True)
    best = steps[values.index(max(values))]
    assert [line.endswith("kept") for line in scores] == [step == best for step in steps]
    assert Motion.load(path).info.steps_done == best
    # The rule itself: a run ends at the first score that is no better, or at its end.
    # Two digits are printed, so equal ones may be better or worse.
    worse = [later < max(values[:i]) for i, later in enumerate(values) if i]
    assert steps == tuple(range(2, 2 + 2 * len(steps), 2)) and not any(worse[:-1])
    assert values[-1] <= max(values[:-1]) or steps[-1] == 6


def test_invert_takes_the_clip_as_it_was_tuned(place):
    trajectory = Trajectory.load(place / "trajectory.safetensors")
    assert trajectory.latents.shape == (3, 1, 4, 4, 8, 8)
    assert trajectory.fps == 12


def test_start_and_fit_are_those_of_the_tuning(place, controls, monkeypatch):
    """For the clip that is inverted and for the control videos, where no option says otherwise."""
    read = []

    def watch(path, config):
        read.append((path.name, config.start, config.stride, config.fit))
        return read_clip(path, config)

    assert tune(place, "--start", "1", "--fit", "pad", "--num-steps", "1", "--prompt", "x", out="padded") == 0
    info = Motion.load(place / "padded" / "motion.safetensors").info
    assert (info.start, info.stride, info.fit) == (1, 1, "pad")
    for module in ("commands", "controls"):
        monkeypatch.setattr(f"tav_core.cli.{module}.read_clip", watch)
    own = ["--motion", f"{place / 'padded' / 'motion.safetensors'}", "--out", f"{place / 'padded.safetensors'}"]
    assert invert(place, *own, *controls) == 0
    assert read == [("clip.mp4", 1, 1, "pad"), ("depth.mp4", 1, 1, "pad")]
    read.clear()
    more = ["--start", "2", "--fit", "stretch", "--control-first-frame", "0"]
    assert invert(place, *own, *controls, *more) == 0
    assert read == [("clip.mp4", 2, 1, "stretch"), ("depth.mp4", 0, 1, "stretch")]
    # An edit reads them as the inversion read the clip; they were read as in tuning, from another frame.
    read.clear()
    motion = ["--motion", f"{place / 'padded' / 'motion.safetensors'}", "--prompt", "a cow"]
    assert edit(place, *motion, "--trajectory", f"{place / 'padded.safetensors'}", *controls, out="led") == 0
    assert read == [("depth.mp4", 2, 1, "stretch")]


@pytest.mark.parametrize(("speed", "expected"), [("2", [0, 2]), ("0.5", [0, 1, 1, 2, 2, 3, 3])])
def test_control_frames_go_at_the_speed_of_the_edit(place, controls, monkeypatch, speed, expected):
    """Frame i of an edit at twice the speed shows frame 2i of the clip, and so do the control's."""
    seen = []
    monkeypatch.setattr("tav_core.cli.controls.add_controls", lambda denoiser, given: seen.extend(given) or denoiser)
    start = ["--trajectory", f"{place / 'trajectory.safetensors'}", "--speed", speed]
    assert edit(place, *start, *controls, "--prompt", "a cow", out="speed") == 0
    whole = read_clip(place / "depth.mp4", num_frames=4, width=64, height=64).frames
    assert torch.equal(seen[0].frames, whole[expected])


def test_edit_writes_a_video_for_each_prompt_at_the_rate_of_the_source(place):
    prompts = ["--prompt", "a dog runs", "--prompt", "A dog, runs!", "--prompt", "a cow"]
    assert edit(place, "--trajectory", f"{place / 'trajectory.safetensors'}", *prompts) == 0
    names = sorted(path.name for path in (place / "edits").iterdir())
    assert names == ["a-cow.mp4", "a-dog-runs-2.mp4", "a-dog-runs.mp4"]
    clip = read_clip(place / "edits" / "a-cow.mp4", num_frames=4, width=64, height=64)
    assert clip.fps == 12
    assert clip.source_frames == 4


def test_an_edit_takes_as_many_steps_as_the_inversion(place, capsys):
    """Without --num-steps; a random start takes the setting's default."""
    files = ["--model", f"{place / 'model'}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    start = ["--trajectory", f"{place / 'trajectory.safetensors'}"]
    assert main(["edit", *files, *start, "--prompt", "a cow", "--out", f"{place / 'as inverted'}"]) == 0
    told = capsys.readouterr().err
    assert "2/2" in told and f"reading {place / 'model'}" in told
    assert (place / "as inverted" / "a-cow.mp4").is_file()


def test_edit_from_random_noise_with_another_scheduler(place):
    more = ["--scheduler", "EulerDiscreteScheduler", "--format", "png", "--prompt", "a cow", "--fps", "5"]
    assert edit(place, *more, out="random") == 0
    assert len(list((place / "random" / "a-cow").glob("*.png"))) == 4


def test_an_inversion_under_the_source_prompt_by_another_method(place):
    out = ["--out", f"{place / 'exact.safetensors'}"]
    assert invert(place, *out, "--method", "o_belm", "--iterations", "2", "--source-prompt") == 0
    exact = Trajectory.load(place / "exact.safetensors")
    assert exact.method == "o_belm" and exact.remainder is not None
    assert invert(place, "--out", f"{place / 'named.safetensors'}", "--method", "o_belm", "--iterations", "2") == 0
    assert not torch.equal(exact.noise, Trajectory.load(place / "named.safetensors").noise)
    more = ["--prompt", "a dog runs", "--negative-source", "--format", "png"]
    blended = ["--blend", f"{place / 'named.safetensors'}", "--blend-weight", "0.3"]
    for name, extra in {"negative": [], "blend": blended}.items():
        assert edit(place, "--trajectory", f"{place / 'exact.safetensors'}", *more, *extra, out=name) == 0
    same = ["--trajectory", f"{place / 'exact.safetensors'}", "--prompt", "a dog runs", "--format", "png"]
    assert edit(place, *same, "--negative", "a cat runs", out="said") == 0
    pictures = {name: (place / name / "a-dog-runs" / "0001.png") for name in ("negative", "said", "blend")}
    read = {name: next(iter(sorted(path.parent.glob("*.png")))).read_bytes() for name, path in pictures.items()}
    assert read["negative"] == read["said"] != read["blend"]


def test_reconstruct_prints_a_table_and_writes_json(place, capsys):
    files = ["--model", f"{place / 'model'}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    more = ["--clip", f"{place / 'clip.mp4'}", "--num-steps", "2", "--out", f"{place / 'methods.json'}"]
    assert main(["reconstruct", *files, *more, "--methods", "ddim", "o_belm"]) == 0
    printed = capsys.readouterr().out
    assert "ddim" in printed and "o_belm" in printed and "fixed_point" not in printed
    assert [row["method"] for row in json.loads((place / "methods.json").read_text())["methods"]] == ["ddim", "o_belm"]


def test_a_long_clip_by_windows(place):
    windows = ["--context-length", "3", "--context-overlap", "1"]
    long = ["--num-frames", "6", "--out", f"{place / 'long.safetensors'}"]
    assert tune(place, "--num-steps", "1", "--prompt", "a cat", "--window", "3", "--num-frames", "6", out="long") == 0
    assert Motion.load(place / "long" / "motion.safetensors").info.config["window"] == 3
    assert invert(place, *long, *windows) == 0
    by_windows = Trajectory.load(place / "long.safetensors")
    assert invert(place, *long) == 0
    assert not torch.equal(by_windows.noise, Trajectory.load(place / "long.safetensors").noise)
    for start in (["--trajectory", f"{place / 'long.safetensors'}"], ["--num-frames", "6", "--free-noise"]):
        assert edit(place, *start, *windows, "--prompt", "a cow", "--format", "png", out="long_edits") == 0
        assert len(list((place / "long_edits" / "a-cow").glob("*.png"))) == 6


@pytest.fixture(scope="module")
def controls(place, small):
    """A ControlNet that is not silent and a T2I-Adapter of the tiny model, and two control videos."""
    from diffusers import ControlNetModel, T2IAdapter

    torch.manual_seed(0)
    net = ControlNetModel.from_unet(small.unet, conditioning_embedding_out_channels=(4, 8, 8, 8))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    net.save_pretrained(place / "controlnet")
    T2IAdapter(channels=[32, 64]).save_pretrained(place / "adapter")
    for seed, name in enumerate(("depth.mp4", "edges.mp4")):
        write_video(place / name, np.random.default_rng(seed).random((6, 48, 64, 3), dtype=np.float32), fps=12)
    return ["--control", f"{place / 'controlnet'}", "--control-video", f"{place / 'depth.mp4'}"]


SIDES = {"black": 0, "white": 64, "half": 32}


def save_mask(place, name):
    """A mask that is black, white, or white in its left half."""
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[:, : SIDES[name]] = 255
    Image.fromarray(mask).save(place / f"{name}.png")
    return f"{place / name}.png"


def test_controls_lead_inversion_and_edit(place, controls, small):
    def inverted(*more):
        assert invert(place, "--out", f"{place / 'controlled.safetensors'}", *more) == 0
        return Trajectory.load(place / "controlled.safetensors").noise

    second = ["--control", f"{place / 'adapter'}", "--control-video", f"{place / 'edges.mp4'}"]
    plain, one, both = inverted(), inverted(*controls), inverted(*controls, *second)
    assert not torch.equal(plain, one) and not torch.equal(one, both)
    assert torch.equal(inverted(*controls, "--control-scale", "0"), plain)
    assert torch.equal(inverted(*controls, *second, "--control-scale", "1", "--control-scale", "0"), one)
    masked = {name: inverted(*controls, "--control-mask", save_mask(place, name)) for name in SIDES}
    assert torch.equal(masked["black"], plain) and torch.equal(masked["white"], one)
    assert not torch.equal(masked["half"], plain) and not torch.equal(masked["half"], one)
    (place / "halves").mkdir()
    for number in range(4):
        shutil.copy(place / "half.png", place / "halves" / f"{number}.png")
    assert torch.equal(inverted(*controls, "--control-mask", f"{place / 'halves'}"), masked["half"])
    windows = ["--context-length", "3", "--context-overlap", "1"]
    assert not torch.equal(inverted(*windows), inverted(*windows, *controls))
    more = ["--trajectory", f"{place / 'controlled.safetensors'}", "--prompt", "a cow", "--format", "png"]
    assert edit(place, *more, *controls, "--control-end", "0.5", "--control-attention", "first", out="controlled") == 0
    assert len(list((place / "controlled" / "a-cow").glob("*.png"))) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--control", "{}/nothing"], ["no such file"]),
        (["--control", "{}/model/unet"], ["a UNet2DConditionModel", "ControlNet or T2I-Adapter"]),
        (["--control-video", "{}/edges.mp4"], ["--control-video 2 times, with 1 --control"]),
        (["--control-mask", "{}/nothing.png"], ["nothing.png, which does not exist"]),
        (["--control-mask", "{}/model", "--control-mask", "{}/model"], ["--control-mask 2 times, with 1 --control"]),
        (["--control-end", "0.2", "--control-start", "0.5"], ["from 0.5 to 0.2"]),
    ],
)
def test_controls_that_do_not_fit_are_said(place, controls, capsys, options, words):
    base = controls[2:] if options[0] == "--control" else controls
    options = [option.format(place) for option in options]
    assert edit(place, "--prompt", "a cow", *base, *options, out="none") == 1
    printed = capsys.readouterr().err
    assert all(word in printed for word in words), printed


def test_injection_takes_from_the_inversion(place):
    start, png = ["--trajectory", f"{place / 'trajectory.safetensors'}"], ["--prompt", "a cow", "--format", "png"]
    none = ["--inject-attention", "0", "--inject-features", "0"]
    for out, more in {
        "plain": [],
        "injected": ["--inject"],
        "none": ["--inject", *none],
        "prompted": ["--inject", "--inject-prompt", "a cat runs"],
    }.items():
        assert edit(place, *start, *png, *more, out=out) == 0
    plain, injected, none, prompted = (
        read_clip(place / out / "a-cow", num_frames=4, width=64, height=64).frames
        for out in ("plain", "injected", "none", "prompted")
    )
    assert torch.equal(none, plain)
    assert not torch.equal(injected, plain) and not torch.equal(injected, prompted)


def test_injection_counts_the_source_in_the_memory_that_it_needs(place, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "tav_core.cli.inputs.check_sampling",
        lambda unet, shape, guided, **_: asked.append((shape[0], guided)),
    )
    start = ["--trajectory", f"{place / 'trajectory.safetensors'}", "--prompt", "a cow", "--format", "png"]
    for more in (["--inject"], ["--inject", "--guidance-scale", "1"]):
        assert edit(place, *start, *more, out="room") == 0
    assert asked == [(3, False), (2, False)]


def test_strength_zero_is_the_untuned_model(place):
    more = ["--prompt", "a cow", "--format", "png", "--num-steps", "1"]
    for out, strength in {"none": "0", "full": "1"}.items():
        assert edit(place, *more, "--strength", strength, "--temporal-strength", strength, out=out) == 0


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("run/motion.safetensors", ["motion", "a cat runs", "sparse_causal"]),
        ("run/state.safetensors", ["state of a tuning run", "2"]),
        ("trajectory.safetensors", ["trajectory", "4 frames", "ddim"]),
        ("model", ["checkpoint", "sd1", "epsilon", "M parameters"]),
    ],
)
def test_info_says_what_a_file_is(place, capsys, path, said):
    assert main(["info", f"{place / path}"]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in said)


def test_info_tells_a_picture_and_what_it_says_of_its_making(tmp_path, capsys):
    """It was refused as a checkpoint that cannot be read as weights."""
    write_video(tmp_path / "edit", np.zeros((2, 32, 48, 3), np.float32), fps=8, comment='{"prompt": "a fox"}')
    first = min((tmp_path / "edit").iterdir())
    assert main(["info", f"{first}"]) == 0
    printed = capsys.readouterr().out
    assert "picture" in printed and "48x32" in printed and "made: prompt  a fox" in printed and "fps" not in printed


def test_a_video_tells_all_options_that_made_it():
    from tav_core.cli.commands import edit_settings
    from tav_core.sampling.config import EditConfig

    given = ["edit", "--model", "m", "--motion", "a/x.safetensors", "--out", "o", "--prompt", "p"]
    plain = edit_settings(parse(given), EditConfig())
    assert plain["motion"] == "x.safetensors" and not plain.keys() & {"feather", "ramp", "speed", "inject", "control"}
    more = ["--trajectory", "t", "--blend", "b/u", "--blend-weight", "0", "--speed", "0.5", "--mask", "d/m.png"]
    more += ["--inject", "--inject-attention", "0.4", "--control", "c/net", "--control-video", "e/depth.mp4"]
    more += ["--control-mask", "e/dog.mp4"]
    more += ["--local-prompt", "a robot", "at/home/robot_masks", "--local-prompt", "a dog", "at/home/dog.png"]
    told = edit_settings(parse([*given, *more, "--feather", "3", "--negative-source"]), EditConfig())
    assert told["local_prompt"] == [["a robot", "robot_masks"], ["a dog", "dog.png"]]
    assert (told["blend"], told["blend_weight"], told["speed"], told["feather"]) == ("u", 0, 0.5, 3)
    assert (told["inject"], told["inject_attention"], told["negative_source"]) == (True, 0.4, True)
    assert (told["control"], told["control_video"], told["mask"]) == (["net"], ["depth.mp4"], "m.png")
    assert told["control_mask"] == ["dog.mp4"]


def test_every_command_with_a_checkpoint_takes_a_vae(place, small, capsys):
    """A folder without one stands for every checkpoint without one."""
    bare = place / "bare"
    shutil.copytree(place / "model", bare)
    (bare / "vae").rename(place / "vae")
    assert main(["info", f"{bare}"]) == 1
    assert "--vae FILE" in capsys.readouterr().err
    vae = ["--vae", f"{place / 'vae'}"]
    assert main(["info", f"{bare}", *vae]) == 0
    assert tune(place, "--num-steps", "1", "--prompt", "a cat", *vae, model="bare", out="bare run") == 0
    assert edit(place, "--prompt", "a cow", "--format", "png", *vae, model="bare", out="with vae") == 0
    assert edit(place, "--prompt", "a cow", "--format", "png", out="own vae") == 0
    read = [read_clip(place / out / "a-cow", num_frames=4, width=64, height=64) for out in ("with vae", "own vae")]
    assert torch.equal(read[0].frames, read[1].frames)


def test_tuning_goes_on_where_it_stopped(place, capsys):
    """A run that is done says which settings it did not use; one that goes on says where."""
    go = lambda steps, *more: tune(place, "--num-steps", steps, "--prompt", "a cat runs", *more, out="longer")  # noqa: E731
    assert go("2") == 0 and "earlier" not in capsys.readouterr().err
    assert go("2", "--learning-rate", "1e-3") == 0
    told = capsys.readouterr().err
    assert "done earlier: 2 steps" in told and "learning_rate 0.001 is not used" in told and "3e-05" in told
    assert go("3", "--learning-rate", "1e-3") == 0
    told = capsys.readouterr().err
    assert "resumed at step 2" in told and "memory: " in told and "not used" not in told
    assert Motion.load(place / "longer" / "motion.safetensors").info.steps_done == 3


def fails(capsys, status, *said):
    assert status == 1
    printed = capsys.readouterr().err
    message = printed[printed.index("error: ") :]
    assert message.startswith("error: Got ") and "Expected " in message and message.strip().endswith(".")
    assert "Traceback" not in printed
    for words in said:
        assert words in message, message


class TestErrors:
    """Each says what it got, what it expected and what to do."""

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--step", "4"], "unrecognized argument: --step (did you mean --num-steps?)"),
            (["--learning-rat=1e-3x"], "--learning-rate"),
            (["--num_steps", "4"], "(did you mean --num-steps?)"),
            (["--xyzzy"], "unrecognized argument: --xyzzy\n"),
            (["--memory", "chekpoint"], "invalid choice: 'chekpoint'"),
        ],
    )
    def test_options_that_do_not_exist(self, place, capsys, options, said):
        """Said at once, in two lines, by the command that they were given to."""
        with pytest.raises(SystemExit) as ended:
            tune(place, "--prompt", "x", *options)
        printed = capsys.readouterr().err
        assert ended.value.code == 2 and said in printed, printed
        assert printed.startswith("error: ") and printed.count("\n") == 2
        assert printed.endswith("See all options: python -m tav_core tune --help\n")

    @pytest.mark.parametrize("clip", ["nowhere.mp4", "text.mp4"])
    def test_a_wrong_clip_is_said_before_the_checkpoint_is_read(self, place, capsys, monkeypatch, clip):
        monkeypatch.setattr("tav_core.cli.commands.load_model", None)
        fails(capsys, tune(place, "--prompt", "x", clip=clip), clip)

    def test_missing_clip(self, place, capsys):
        fails(capsys, tune(place, "--prompt", "x", clip="gone.mp4"), "gone.mp4", "does not exist")

    def test_missing_model(self, place, capsys):
        fails(capsys, tune(place, "--prompt", "x", model="gone"), "no such file or folder")

    def test_not_a_video(self, place, capsys):
        fails(capsys, tune(place, "--prompt", "x", clip="text.mp4"), "text.mp4")

    def test_too_short_a_clip(self, place, capsys):
        fails(capsys, tune(place, "--prompt", "x", "--num-frames", "24"), "6 frames")

    def test_a_size_that_is_not_a_multiple_of_8(self, place, capsys):
        fails(capsys, tune(place, "--prompt", "x", "--width", "60"), "60", "multiple", "56", "64")

    def test_early_stopping_without_a_judge(self, place, capsys):
        fails(capsys, tune(place, "--prompt", "a cat", "--stop-early", "a dog", out="no_judge"), "--clip-model")
        more = ["--clip-model", f"{place / 'judge'}", "--patience", "3"]
        fails(capsys, tune(place, "--prompt", "a cat", *more, out="no_judge"), "without --stop-early")

    @pytest.mark.parametrize("option", ["--score-every", "--patience"])
    def test_settings_of_early_stopping_without_it(self, place, capsys, option):
        """They were ignored, and whoever forgot --stop-early took it to be on."""
        fails(capsys, tune(place, "--prompt", "a cat", option, "1", out="no_judge"), f"{option} without --stop-early")

    def test_prompt_too_long(self, place, capsys):
        prompt = "cat " * 75 + "zebra crossing"
        fails(capsys, tune(place, "--prompt", prompt), "77 tokens", "zebra crossing")

    def test_motion_of_another_architecture(self, place, capsys):
        fails(capsys, invert(place, model="other"), "block_out_channels", "[32, 64]", "[64, 128]")

    def test_frame_count_other_than_the_inversions(self, place, capsys):
        more = ["--trajectory", f"{place / 'trajectory.safetensors'}", "--prompt", "x", "--num-frames", "9"]
        fails(capsys, edit(place, *more), "9 frames for an inversion of 4", "invert the clip again with 9")

    def test_what_is_wrong_is_said_before_the_checkpoint_is_read(self, place, capsys, monkeypatch):
        monkeypatch.setattr("tav_core.cli.commands.load_model", None)
        trajectory = ["--trajectory", f"{place / 'trajectory.safetensors'}"]
        fails(capsys, edit(place, *trajectory, "--num-steps", "9", "--prompt", "x"), "an inversion of 2")

    def test_step_count_other_than_the_inversions(self, place, capsys):
        more = ["--trajectory", f"{place / 'trajectory.safetensors'}", "--prompt", "x", "--num-steps", "5"]
        fails(capsys, edit(place, *more), "5 sampling steps for an inversion of 2")

    def test_injection_without_an_inversion(self, place, capsys):
        for more in (["--inject"], ["--preset", "style"]):
            fails(capsys, edit(place, *more, "--prompt", "x"), "without --trajectory", "Run invert", "--no-inject")
        assert edit(place, "--preset", "style", "--no-inject", "--prompt", "x", "--guidance-scale", "1") == 0

    @pytest.mark.parametrize("more", [["--inject-attention", "0.2"], ["--inject-prompt", "a cat"]])
    def test_settings_of_an_injection_without_one(self, place, capsys, more):
        fails(capsys, edit(place, *more, "--prompt", "x"), "without --inject", "Add --inject")

    def test_two_starts(self, place, capsys):
        more = ["--trajectory", f"{place / 'trajectory.safetensors'}", "--free-noise"]
        fails(capsys, edit(place, *more, "--prompt", "x"), "--free-noise with --trajectory")

    def test_eta_with_another_scheduler(self, place, capsys):
        more = ["--scheduler", "DDIMScheduler", "--eta", "1"]
        fails(capsys, edit(place, *more, "--prompt", "x"), "eta 1.0 with DDIMScheduler", "Use eta 0")

    def test_injection_out_of_range(self, place, capsys):
        more = ["--inject", "--trajectory", f"{place / 'trajectory.safetensors'}", "--prompt", "x"]
        fails(capsys, edit(place, *more, "--inject-features", "2"), "features 2", "0 to 1")

    def test_not_a_motion(self, place, capsys):
        fails(capsys, main(["info", f"{place / 'text.mp4'}"]), "text.mp4")
        motion = ["--motion", f"{place / 'trajectory.safetensors'}"]
        fails(capsys, edit(place, *motion, "--prompt", "x"), "not a motion's")

    def test_blend_without_a_trajectory(self, place, capsys):
        fails(capsys, edit(place, "--blend", f"{place / 'trajectory.safetensors'}", "--prompt", "x"), "--trajectory")

    def test_unknown_scheduler(self, place, capsys):
        fails(capsys, edit(place, "--scheduler", "Eular", "--prompt", "x"), "'Eular'", "EulerDiscreteScheduler")

    def test_another_run_in_the_folder(self, place, capsys):
        fails(capsys, tune(place, "--prompt", "another prompt"), "state of another run", "its prompt is not", "restart")

    def test_a_run_with_another_objective_in_the_folder(self, place, capsys):
        again = tune(place, "--num-steps", "2", "--prompt", "a cat runs", "--min-snr-gamma", "5")
        fails(capsys, again, "its min_snr_gamma is not the one asked for (the default, and asked for is 5.0)")

    def test_no_space_on_the_disk(self, place, capsys, monkeypatch):
        def full(*args):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("tav_core.tensor_files.write_safetensors", full)
        fails(capsys, tune(place, "--num-steps", "1", "--prompt", "x", out="full"), "no space left", "Free some space")

    @pytest.mark.parametrize("command", [tune, edit, invert])
    def test_out_of_memory(self, place, capsys, monkeypatch, command):
        def exhausted(*args, **kwargs):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

        monkeypatch.setattr("tav_core.models.unet.InflatedUNet.forward", exhausted)
        options = {tune: {"out": "oom"}}.get(command, {})
        fails(capsys, command(place, "--prompt", "x", **options), "out of memory while", "fewer frames", "smaller size")

    @pytest.mark.parametrize("command", [tune, edit, invert])
    def test_too_little_memory_is_said_before_the_run(self, place, capsys, monkeypatch, command):
        for module in ("models.memory", "tuning.memory_plan"):
            monkeypatch.setattr(f"tav_core.{module}.free_memory", lambda device: 1000)
        monkeypatch.setattr("tav_core.models.unet.InflatedUNet.forward", None)
        options = {tune: {"out": "oom"}}.get(command, {})
        fails(capsys, command(place, "--prompt", "x", **options), "which needs about", "that are free", "smaller size")


def test_ctrl_c_saves_between_steps_and_exits_130(place, capsys, monkeypatch):
    import signal

    from tav_core.tuning.training_run import TuningRun

    honest = TuningRun.loss

    def interrupted(run, *args):
        if run.step == 1:
            signal.raise_signal(signal.SIGINT)  # in the middle of the second step
        return honest(run, *args)

    monkeypatch.setattr(TuningRun, "loss", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert tune(place, "--num-steps", "5", "--prompt", "x", out="stopped") == 130
    told = capsys.readouterr().err
    assert "encoding 4 frames" in told and "stopped at step 2 and saved: the same command goes on there" in told
    assert told.endswith("cancelled\n")
    assert signal.getsignal(signal.SIGINT) is before
    assert main(["info", f"{place / 'stopped' / 'state.safetensors'}"]) == 0
    assert capsys.readouterr().out.split()[-1] == "2"


def test_ctrl_c_in_a_preview_saves_and_exits_130(place, tmp_path, capsys, monkeypatch):
    """It is heard at the preview's next step, and not after the preview."""
    import signal

    from tav_core.models.unet import InflatedUNet

    calls, honest = [], InflatedUNet.forward

    def forward(unet, *args, **more):
        if not torch.is_grad_enabled():
            calls.append(1)
            if len(calls) == 3:
                signal.raise_signal(signal.SIGINT)  # in the middle of the preview's third step
        return honest(unet, *args, **more)

    monkeypatch.setattr(InflatedUNet, "forward", forward)
    judge = save_clip(make_clip(), tmp_path)
    scored = ["--stop-early", "a dog runs", "--clip-model", f"{judge}", "--score-every", "1"]
    assert tune(place, "--num-steps", "3", "--prompt", "x", *scored, out="unscored") == 130
    assert "cancelled" in capsys.readouterr().err and len(calls) == 3
    assert main(["info", f"{place / 'unscored' / 'state.safetensors'}"]) == 0
    assert capsys.readouterr().out.split()[-1] == "1"


def test_options_have_the_settings_defaults():
    required = ["--model", "m", "--clip", "c", "--prompt", "p", "--out", "o"]
    assert read_settings(build_parser().parse_args(["tune", *required]), TuneConfig) == TuneConfig()
    args = build_parser().parse_args(["edit", "--model", "m", "--motion", "x", "--prompt", "p", "--out", "o"])
    assert read_settings(args, EditConfig) == EditConfig()
    assert read_settings(args, InjectionConfig, prefix="inject-") == InjectionConfig()
    more = ["--modules", "attn_temp", "--betas", "0.8", "0.9", "--memory", "speed", "--precision", "bf16"]
    config = read_settings(build_parser().parse_args(["tune", *required, *more]), TuneConfig)
    assert config == TuneConfig(modules=("attn_temp",), betas=(0.8, 0.9), memory="speed", precision="bf16")
