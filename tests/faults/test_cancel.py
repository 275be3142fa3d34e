"""Cancelling at twenty moments: by what a callback raises, by Ctrl-C in a step, by Ctrl-C at the command line."""

from __future__ import annotations

import _thread
import random
import shutil
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch

from tav_core.cli.main import main
from tav_core.errors import ConfigError
from tav_core.tensor_files import load_tensors
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.tune import tune
from tav_core.video.write import write_video
from tests.tav_core.conftest import small, write_folder  # noqa: F401

CANCELS = 20


def read_state(path):
    return load_tensors(path, error=ConfigError, what="a run's state")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def go(tmp_path, untuned, clip_latents, context):
    def tune_it(name, on_step=None, **settings):
        config = TuneConfig(**{"num_steps": CANCELS + 1, "learning_rate": 1e-3, "memory": "speed", **settings})
        return tune(
            untuned, clip_latents[:, :, :2], context, config=config, state_path=tmp_path / name, on_step=on_step
        )

    return tune_it


def test_a_run_cancelled_after_each_of_its_steps(tmp_path, go):
    """Twenty times; each takes up where the one before stopped, and no step is done twice."""
    steps = []

    def cancel(progress):
        steps.append(progress.step)
        if progress.step <= CANCELS:
            raise KeyboardInterrupt

    for done in range(1, CANCELS + 1):
        with pytest.raises(KeyboardInterrupt):
            go("broken", cancel, save_every=0)
        assert read_state(tmp_path / "broken")[1]["step"] == str(done)
    go("broken", cancel, save_every=0)
    go("whole")
    assert steps == list(range(1, CANCELS + 2))
    assert same(read_state(tmp_path / "broken")[0], read_state(tmp_path / "whole")[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "whole"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no timers that signal")
def test_ctrl_c_in_the_middle_of_a_step_or_a_save(tmp_path, go):
    """In a notebook, say, where nothing holds it back: at a moment that the clock chooses, inside any line."""
    chance, cancelled, before = random.Random(0), 0, signal.getsignal(signal.SIGALRM)

    def ring(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, ring)
    try:
        # On a slow machine the first ones come before any step is saved.
        while cancelled < CANCELS or not (tmp_path / "broken").exists():
            # And again, as Python loses one that comes while it collects garbage.
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.01, 0.2 + 0.025 * cancelled), 2)
            try:
                go("broken", num_steps=500, save_every=2)
            except KeyboardInterrupt:
                cancelled += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    reached = int(read_state(tmp_path / "broken")[1]["step"])
    go("broken", num_steps=reached + 2)
    go("whole", num_steps=reached + 2)
    # One that comes in the middle of tidying up may leave a temporary file, which the next run removes.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "whole"]
    assert same(read_state(tmp_path / "broken")[0], read_state(tmp_path / "whole")[0])


@pytest.fixture
def place(tmp_path, small, write_folder):  # noqa: F811
    """A tiny checkpoint and a clip."""
    write_folder(small, tmp_path / "model")
    clip = np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32)
    write_video(tmp_path / "clip.mp4", clip, fps=8)
    return tmp_path


def at_the_command_line(place, out, *more):
    files = ["--model", f"{place / 'model'}", "--clip", f"{place / 'clip.mp4'}", "--out", f"{place / out}"]
    size = ["--num-frames", "2", "--width", "32", "--height", "32", "--prompt", "x", "--memory", "speed"]
    return main(["tune", *files, *size, *more])


@pytest.mark.parametrize("cancels", [3, pytest.param(CANCELS, marks=pytest.mark.slow)])
def test_ctrl_c_at_the_command_line(place, cancels, capsys):
    """While it loads, encodes, tunes or writes: exit status 130, or 0 where it came too late; then on to the end."""
    chance, statuses, steps = random.Random(cancels), [], ["--num-steps", str(4 * cancels), "--save-every", "2"]
    began = time.monotonic()
    assert at_the_command_line(place, "whole", *steps) == 0
    seconds = time.monotonic() - began
    for _ in range(cancels):
        ctrl_c = threading.Timer(chance.uniform(0.02, 0.8) * seconds, _thread.interrupt_main)
        ctrl_c.start()
        try:
            statuses.append(at_the_command_line(place, "broken", *steps))
        except KeyboardInterrupt:
            statuses.append("after main")
        ctrl_c.cancel()
        ctrl_c.join()
    assert set(statuses) <= {0, 130}
    assert 130 in statuses and "cancelled" in capsys.readouterr().err
    assert at_the_command_line(place, "broken", *steps) == 0
    for name in ("state.safetensors", "motion.safetensors"):
        assert same(*(read_state(place / folder / name)[0] for folder in ("broken", "whole")))
    assert sorted(path.name for path in (place / "broken").iterdir()) == ["motion.safetensors", "state.safetensors"]
    shutil.rmtree(place / "broken")
