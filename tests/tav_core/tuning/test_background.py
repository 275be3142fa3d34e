"""tav_core/tuning/background.py: a run is saved while it goes on, and that costs it little."""

from __future__ import annotations

import math
import threading

import pytest
import torch

from tav_core.errors import ConfigError, OutOfMemory, OutputError
from tav_core.tensor_files import load_tensors
from tav_core.tuning import background
from tav_core.tuning.background import BackgroundSaver
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.state import RunState
from tav_core.tuning.tune import tune

TENSORS = {"a": torch.arange(4.0), "b": torch.ones(2, 3, dtype=torch.float64)}


@pytest.fixture
def unhurried(monkeypatch):
    """However quick the steps are, each save that is due is begun."""
    monkeypatch.setattr(background, "SHARE", math.inf)


def test_what_is_written_is_what_was_there_when_it_was_copied(unhurried):
    changing, begin, written = torch.zeros(3), threading.Event(), []

    def write(copies):
        begin.wait()
        written.append({name: copy.clone() for name, copy in copies.items()})

    with BackgroundSaver() as saver:
        saver.start({"x": changing}, write)
        changing += 1
        saver.start({"x": changing}, write)
        begin.set()
        saver.settle()
        assert [each["x"].tolist() for each in written] == [[0, 0, 0]], "one write at a time"
        saver.start({"x": changing, **TENSORS}, write)
    assert written[1]["x"].tolist() == [1, 1, 1]
    assert all(torch.equal(written[1][name], tensor) for name, tensor in TENSORS.items())


def test_copying_takes_no_more_than_its_share_of_the_time(monkeypatch):
    clock, written = [0.0], []
    monkeypatch.setattr(background.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(BackgroundSaver, "copy", lambda saver, tensors: clock.__setitem__(0, clock[0] + 0.5))
    with BackgroundSaver() as saver:
        for _ in range(1000):
            saver.start(TENSORS, written.append)
            saver.settle()
            clock[0] += 0.1
    assert len(written) == 5, "half a second each, every 25 seconds of the 100"


def test_a_failed_write_is_told_once(unhurried):
    def fail(copies):
        raise OutputError(got="a full disk", expected="room", mend="Free some.")

    with BackgroundSaver() as saver:
        saver.start(TENSORS, fail)
        saver.pool.submit(lambda: None).result()
        with pytest.raises(OutputError, match="a full disk"):
            saver.check()
        saver.check()


def test_no_run_is_left_by_its_thread(unhurried, tmp_path, untuned, clip_latents, context):
    """The last state is on the disk when the run ends, however it ends."""
    slow, honest = threading.Event(), RunState.write

    def write(state, *about):
        slow.wait(0.5)
        honest(state, *about)

    def stop(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    config = TuneConfig(num_steps=9, memory="speed", save_every=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunState, "write", write)
        with pytest.raises(KeyboardInterrupt):
            tune(untuned, clip_latents, context, config=config, state_path=tmp_path / "state", on_step=stop)
    assert load_tensors(tmp_path / "state", error=ConfigError, what="a state")[1]["step"] == "3"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("save")]


def test_without_room_for_copies_the_run_waits_for_its_save(tmp_path, untuned, clip_latents, context, monkeypatch):
    def exhausted(saver, tensors):
        raise MemoryError

    monkeypatch.setattr(BackgroundSaver, "copy", exhausted)
    seen, config = [], TuneConfig(num_steps=3, memory="speed", save_every=1)

    def note(progress):
        state = tmp_path / "state"
        seen.append(load_tensors(state, error=ConfigError, what="")[1]["step"] if state.exists() else "")

    tune(untuned, clip_latents, context, config=config, state_path=tmp_path / "state", on_step=note)
    assert seen == ["", "1", "2"]
    with pytest.raises(OutOfMemory, match="copying the state"), BackgroundSaver() as saver:
        saver.start(TENSORS, lambda copies: None)


def test_saves_are_20_steps_apart_by_default():
    assert TuneConfig().save_every == 20
