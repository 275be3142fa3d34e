"""Disturbed runs: another run with the same name, files that change during the run, a clock that jumps, NaN."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from tav_core.errors import ConfigError, TuningDiverged
from tav_core.tensor_files import load_tensors, save_tensors
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.motion import Motion
from tav_core.tuning.run_lock import hold
from tav_core.tuning.state import RunState
from tav_core.tuning.training_run import TuningRun
from tav_core.tuning.tune import tune
from tests.tav_core.motions import equal

FAST = {"learning_rate": 1e-3, "memory": "speed"}
OTHER = "import sys; from tav_core.tuning.run_lock import hold; from pathlib import Path\n"
HOLD = OTHER + "with hold(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def go(tmp_path, untuned, clip_latents, context):
    """Tunes with the state in the test's folder."""

    def tune_it(path=tmp_path / "state.safetensors", on_step=None, **settings):
        config = TuneConfig(**{"num_steps": 6, "save_every": 2, **FAST, **settings})
        return tune(untuned, clip_latents, context, config=config, state_path=path, on_step=on_step)

    return tune_it


class TestTwoRunsOfOneName:
    def test_in_one_process_the_second_is_refused_and_the_first_goes_on(self, tmp_path, go):
        told = []

        def second(progress):
            if progress.step == 3:
                with pytest.raises(ConfigError, match=r"tuned at this moment.*choose another name") as caught:
                    go()
                told.append(caught.value)

        assert equal(go(on_step=second), go(None)) and told
        assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]

    def test_of_two_processes_the_second_is_refused_until_the_first_is_killed(self, tmp_path, go):
        path = tmp_path / "state.safetensors"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        first = subprocess.Popen([sys.executable, "-c", HOLD, path], cwd=Path(__file__).parents[2], **pipes)
        assert first.stdout.readline().strip() == b"held"
        with pytest.raises(ConfigError, match="tuned at this moment"):
            go()
        first.kill()
        first.communicate()
        go()
        assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]

    def test_of_many_at_once_one_holds_it_at_a_time(self, tmp_path):
        """Also while the others take and remove the lock's file."""
        path, inside, most, got = tmp_path / "x.safetensors", [], [], []

        def take():
            for _ in range(200):
                try:
                    with hold(path):
                        inside.append(1)
                        most.append(len(inside))
                        inside.pop()
                        got.append(1)
                except ConfigError:
                    pass

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(most) == 1 and len(got) > 4
        assert not list(tmp_path.iterdir())

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has other locks")
    def test_a_file_system_without_locks_does_not_stop_a_run(self, tmp_path, go, monkeypatch):
        import errno
        import fcntl

        def unknown(*_):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", unknown)
        assert go().info.steps_done == 6


def test_a_loaded_file_may_be_overwritten_or_cut_short(tmp_path):
    """A cached motion of a server whose user copies another over it: a mapped one would end the server by SIGBUS."""
    path = save_tensors(tmp_path / "x.safetensors", {"a": torch.ones(100_000)}, {})
    tensors, _ = load_tensors(path, error=ConfigError, what="")
    size = path.stat().st_size
    with path.open("rb+") as file:
        file.write(bytes(size))
    assert torch.equal(tensors["a"], torch.ones(100_000))
    with path.open("rb+") as file:
        file.truncate(10)
    assert torch.equal(tensors["a"], torch.ones(100_000))


def test_a_motion_in_full_precision_does_not_lie_in_its_file(tmp_path, go):
    motion = go(None, num_steps=1)
    path = motion.save(tmp_path / "motion.safetensors", dtype=torch.float32)
    loaded = Motion.load(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert equal(loaded, motion)


def test_a_resumed_run_does_not_lie_in_its_state(tmp_path, go, monkeypatch):
    path = tmp_path / "state.safetensors"
    go(num_steps=3)

    def spoil(state):
        with path.open("rb+") as file:
            file.write(bytes(path.stat().st_size))

    # After it was read, and before the first step.
    monkeypatch.setattr(RunState, "check_room", spoil)
    resumed = go()
    monkeypatch.undo()
    assert equal(resumed, go(None))


def test_after_nan_a_lower_rate_goes_on_from_the_last_good_step(go, monkeypatch):
    honest = TuningRun.loss
    monkeypatch.setattr(TuningRun, "loss", lambda run, *a: honest(run, *a) * (float("nan") if run.step == 3 else 1))
    with pytest.raises(TuningDiverged, match="step 3 is kept"):
        go(save_every=0)
    monkeypatch.undo()
    steps = []
    motion = go(learning_rate=1e-4, on_step=lambda progress: steps.append(progress.step))
    assert steps == [4, 5, 6] and motion.info.steps_done == 6


def test_nan_in_the_first_step_leaves_no_state(tmp_path, go, monkeypatch):
    """Else the name would be taken by a run that has done nothing."""
    monkeypatch.setattr(TuningRun, "loss", lambda run, *a: torch.tensor(float("nan")))
    with pytest.raises(TuningDiverged, match="step 1"):
        go()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("jump", [-3600.0, 0.0, 1e7], ids=["back", "still", "far ahead"])
def test_a_clock_that_jumps(go, monkeypatch, jump):
    """The clock of the day at each step; the other as well, though no system should let it go backwards."""
    seen, day, steady = [], itertools.count(2e9, jump), itertools.count(1e5, jump)
    expected = go(None)
    monkeypatch.setattr(time, "time", lambda: next(day))
    monkeypatch.setattr(time, "monotonic", lambda: next(steady))
    motion = go(None, on_step=seen.append)
    monkeypatch.undo()
    assert equal(motion, expected)
    assert all(0 <= progress.eta_seconds < float("inf") for progress in seen)
    assert seen[-1].eta_seconds == 0
