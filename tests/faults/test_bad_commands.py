"""The command line with bad arguments: one line that says what is wrong, status 1, and nothing written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tav_core.cli.main import main
from tav_core.sampling.trajectory import Trajectory
from tav_core.video.write import write_video
from tests.faults.checks import SECONDS, contents, time_limit
from tests.faults.files import rewrite


@pytest.fixture(scope="module")
def place(tmp_path_factory, sd1, write_folder):
    """A folder with a tiny checkpoint, a clip, a motion and a trajectory."""
    place = tmp_path_factory.mktemp("commands")
    write_folder(sd1, place / "model")
    write_video(place / "clip.mp4", np.random.default_rng(0).random((6, 48, 64, 3), dtype=np.float32), fps=12)
    (place / "text.txt").write_text("a text")
    (place / "empty").mkdir()
    Trajectory(latents=torch.zeros(3, 1, 4, 4, 8, 8), timesteps=(1, 501)).save(place / "start.safetensors")
    size = ["--num-frames", "4", "--width", "64", "--height", "64", "--memory", "speed", "--num-steps", "1"]
    assert main([*words("tune --model model --clip clip.mp4 --prompt cat --out run", place), *size]) == 0
    return place


FILES = {"model", "clip.mp4", "text.txt", "empty", "start.safetensors", "run", "run/motion.safetensors", "gone", "out",
         "run/state.safetensors", "text.txt/out", "out.html", "out.safetensors", "text.txt/out.html"}  # fmt: skip


def words(line, place):
    return [f"{place / word}" if word in FILES else word for word in line.split()]


TUNE = "tune --model model --clip clip.mp4 --prompt cat --out out --num-frames 4 --width 64 --height 64 --memory speed"
INVERT = "invert --model model --motion run/motion.safetensors --clip clip.mp4 --out out.safetensors --num-steps 2"
EDIT = "edit --model model --motion run/motion.safetensors --prompt cat --out out --num-steps 2 --num-frames 2"
REPORT = "report --video clip.mp4 --out out.html --no-flow"
CASES = {
    f"{TUNE} --num-steps 0": ("num_steps 0", "500"),
    f"{TUNE} --num-steps -5": ("num_steps -5",),
    f"{TUNE} --learning-rate nan": ("learning_rate nan",),
    f"{TUNE} --learning-rate inf": ("learning_rate inf",),
    f"{TUNE} --betas 0.9": ("betas",),
    f"{TUNE} --window 1": ("window of 1 frame",),
    f"{TUNE} --modules nonsense": ("nonsense", "spelling"),
    f"{TUNE} --width 60": ("width 60", "56 or 64"),
    f"{TUNE} --num-frames 0": ("num_frames 0",),
    f"{TUNE} --start -1": ("start -1",),
    f"{TUNE} --stride 0": ("stride 0",),
    f"{TUNE} --clip empty": ("without a picture",),
    f"{TUNE} --clip text.txt": ("text.txt",),
    f"{TUNE} --model empty": ("without unet/config.json",),
    f"{TUNE} --model text.txt": ("type .txt",),
    f"{TUNE} --model clip.mp4": ("type .mp4",),
    f"{TUNE} --tokenizer empty": ("without a tokenizer",),
    f"{TUNE} --out text.txt/out --num-steps 1": ("text.txt", "folder"),
    f"{TUNE} --device nonsense": ("device 'nonsense'", "cpu"),
    f"{TUNE} --device cuda:99": ("device 'cuda:99'", "cpu"),
    f"{INVERT} --num-steps 0": ("0 steps",),
    f"{INVERT} --num-steps 5000": ("5000 steps",),
    f"{INVERT} --motion start.safetensors": ("metadata",),
    f"{INVERT} --motion run/state.safetensors": ("metadata",),
    f"{INVERT} --motion empty": ("empty, a folder",),
    f"{INVERT} --strength nan": ("strength nan",),
    f"{INVERT} --temporal-strength inf": ("temporal_strength inf",),
    f"{INVERT} --context-length 1": ("length 1",),
    f"{INVERT} --context-length 4 --context-overlap 4": ("overlap by 4",),
    f"{INVERT} --out text.txt/out": ("text.txt", "folder"),
    f"{INVERT} --out empty": ("empty, which is a folder", "trajectory.safetensors"),
    f"{INVERT} --out run/motion.safetensors": ("would replace what is read from it (--motion)",),
    f"{EDIT} --guidance-scale nan": ("guidance_scale nan",),
    f"{EDIT} --eta 2": ("eta 2",),
    f"{EDIT} --num-frames -3": ("num_frames -3",),
    f"{EDIT} --num-frames 0": ("num_frames 0",),
    f"{EDIT} --width 60": ("width 60",),
    f"{EDIT} --height -64": ("height -64",),
    f"{EDIT} --fps nan": ("nan frames per second",),
    f"{EDIT} --fps -5": ("-5 frames per second",),
    f"{EDIT} --fps 99 --format gif": ("99 frames per second", "at most 50"),
    f"{EDIT} --scheduler UNet2DModel": ("UNet2DModel", "scheduler"),
    f"{EDIT} --scheduler __doc__": ("__doc__",),
    f"{EDIT} --scheduler VQDiffusionScheduler": ("VQDiffusionScheduler", "cannot be made", "EulerDiscreteScheduler"),
    f"{EDIT} --scheduler FlowMatchEulerDiscreteScheduler": ("FlowMatchEulerDiscreteScheduler", "noise levels"),
    f"{EDIT} --trajectory run/motion.safetensors": ("no trajectory",),
    f"{EDIT} --trajectory start.safetensors --num-frames 9": ("9 frames",),
    f"{EDIT} --ramp 2": ("--ramp without --frames",),
    f"{EDIT} --out text.txt/out": ("text.txt", "folder"),
    f"{REPORT} --video gone": ("does not exist",),
    f"{REPORT} --label a --label b": ("2 --label for 1 --video",),
    f"{REPORT} --num-frames -1": ("num_frames -1",),
    f"{REPORT} --motion text.txt": ("text.txt",),
    f"{REPORT} --state run/motion.safetensors": ("no losses",),
    f"{REPORT} --clip-model empty": ("empty",),
    f"{REPORT} --dino text.txt": ("text.txt",),
    f"{REPORT} --source text.txt": ("text.txt",),
    f"{REPORT} --out text.txt/out.html": ("text.txt", "folder"),
    f"{REPORT} --device nonsense": ("device 'nonsense'",),
    f"{EDIT} --device mps:77": ("device 'mps:77'",),
    "info gone": ("no such file",),
    "info empty": ("without unet/config.json",),
    "info text.txt": ("type .txt",),
}


@pytest.mark.parametrize("line", CASES)
def test_what_does_not_fit(place, capsys, line):
    before = contents(place)
    with time_limit(SECONDS):
        status = main(words(line, place))
    told = capsys.readouterr().err
    assert status == 1 and "error: Got " in told and " Expected " in told, told
    assert not [word for word in CASES[line] if word not in told], told
    assert "Traceback" not in told and contents(place) == before


@pytest.mark.parametrize("line", ["", "dance", "tune", "info", f"{TUNE} --num-steps many", f"{TUNE} --memory turbo"])
def test_what_cannot_be_parsed(place, capsys, line):
    before = contents(place)
    with pytest.raises(SystemExit) as ended:
        main(words(line, place) if line else [])
    told = capsys.readouterr().err
    assert ended.value.code == 2 and told.startswith("error: ") and " --help\n" in told and contents(place) == before


def test_info_shows_and_never_interprets(place, tmp_path, capsys):
    """A terminal takes bytes in a text for commands: they are shown as escapes."""
    path = tmp_path / "motion.safetensors"
    path.write_bytes((place / "run" / "motion.safetensors").read_bytes())
    rewrite(path, lambda _, metadata: metadata.update(prompt='"\\u001b[2J\\u0007\\ud800{0.__class__}%s\\r\\n<b>"'))
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    assert r"\x1b[2J\x07\ud800{0.__class__}%s\r\n<b>" in shown and "\x1b" not in shown and "\r" not in shown
