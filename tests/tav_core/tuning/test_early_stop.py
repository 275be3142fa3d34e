"""tav_core/tuning/early_stop.py: when a run ends, and with which motion."""

from __future__ import annotations

import math

import pytest
import torch

from tav_core.errors import ConfigError
from tav_core.evaluation.preview import preview_score
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.early_stop import EarlyStop
from tav_core.tuning.state import RunState
from tav_core.tuning.tune import tune
from tests.tav_core.motions import equal

CONFIG = TuneConfig(num_steps=12, learning_rate=1e-3, memory="speed", save_every=0)


# Scores of every second step, of which the best is that of step 8, and the last that of step 12.
BEST_AT_8 = [1.0, 3.0, 2.0, 4.0, 1.0, 0.5]


@pytest.fixture
def clip_latents():
    """A smaller clip than elsewhere: what is asked here is when runs end."""
    return torch.randn((1, 4, 2, 4, 4), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def tuned():
    """Motions of runs that nothing interrupts, which several tests compare with theirs, by what made them."""
    return {}


def scored(values):
    """A score that gives these values in turn."""
    left = iter(values)
    return lambda motion: next(left)


@pytest.mark.parametrize(
    ("values", "patience", "best", "last"),
    [
        ([1.0, 3.0, 2.0, 2.5, 9.0, 9.0], 2, 4, 8),
        ([1.0, 3.0, 2.0, 9.0, 1.0, 1.0], 2, 8, 12),
        ([1.0, 3.0, 2.0, 9.0, 1.0, 1.0], 1, 4, 6),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1, 12, 12),
        ([2.0, 2.0, 2.0], 2, 2, 6),
        ([math.nan, 1.0, math.nan, math.nan], 2, 4, 8),
    ],
    ids=["best passed", "better later", "impatient", "ever better", "no better", "not a number"],
)
def test_the_best_motion_is_returned(untuned, clip_latents, context, tmp_path, tuned, values, patience, best, last):
    stop = EarlyStop(score=scored(values), every=2, patience=patience)
    state = tmp_path / "state.safetensors"
    motion = tune(untuned, clip_latents, context, config=CONFIG, state_path=state, early_stop=stop)
    assert (motion.info.steps_done, max(stop.scores)) == (best, last)
    if best not in tuned:
        config = TuneConfig(**{**vars(CONFIG), "num_steps": best})
        tuned[best] = tune(untuned, clip_latents, context, config=config)
    assert equal(motion, tuned[best])


class Killed(BaseException):
    """What ends a run from outside; no handler of errors takes it for one."""


@pytest.fixture
def go(untuned, clip_latents, context, tmp_path):
    """Tunes with the state in the test's folder, scoring every second step with these values in turn."""

    def tune_it(values=None, *, on_step=None, state="state.safetensors", patience=1, by="", **settings):
        stop = None if values is None else EarlyStop(score=scored(values), every=2, patience=patience, by=by)
        config = TuneConfig(**{**vars(CONFIG), **settings})
        path = tmp_path / state
        return tune(untuned, clip_latents, context, config=config, state_path=path, on_step=on_step, early_stop=stop)

    return tune_it


@pytest.fixture
def unbroken(go, tuned):
    """The motion of a run with the scores BEST_AT_8 that is not killed."""
    if "unbroken" not in tuned:
        tuned["unbroken"] = go(BEST_AT_8, state="unbroken.safetensors", patience=2)
    return tuned["unbroken"]


def test_without_early_stopping_a_stopped_run_goes_on(go):
    assert go([2.0, 1.0]).info.steps_done == 2
    seen = []
    motion = go(on_step=lambda progress: seen.append(progress.step))
    assert seen == list(range(5, 13))
    assert equal(motion, go(state="plain.safetensors"))


def test_a_stopped_run_stays_stopped(go):
    best, taken = go([1.0, 2.0, 1.0]), []
    again = go([], on_step=lambda progress: taken.append(progress.step))
    assert taken == [] and equal(again, best) and again.info == best.info


def test_a_run_that_ended_keeps_its_best_motion(go):
    best = go([1.0, 2.0, 1.0, 1.0], num_steps=8, patience=5)
    assert best.info.steps_done == 4
    assert equal(go([], num_steps=8, patience=5), best)


@pytest.mark.parametrize("killed_at", range(1, 12))
def test_a_killed_run_ends_like_an_unbroken_one(go, unbroken, killed_at):
    def kill(progress):
        if progress.step == killed_at:
            raise Killed

    with pytest.raises(Killed):
        go(BEST_AT_8, patience=2, on_step=kill)
    resumed = go(BEST_AT_8[(killed_at - 1) // 2 :], patience=2)
    assert resumed.info.steps_done == unbroken.info.steps_done == 8
    assert equal(resumed, unbroken)


def test_a_kill_between_the_best_motion_and_its_score(go, unbroken, monkeypatch):
    """The file beside the state is then of a step that the state knows nothing of."""
    save = RunState.save

    def killed(self):
        if self.run.step == 8:
            raise Killed
        save(self)

    monkeypatch.setattr(RunState, "save", killed)
    with pytest.raises(Killed):
        go(BEST_AT_8, patience=2, save_every=2)
    monkeypatch.undo()
    resumed = go(BEST_AT_8[3:], patience=2, save_every=2)
    assert resumed.info.steps_done == 8 and equal(resumed, unbroken)


def test_scores_by_something_else_do_not_count(go):
    assert go([2.0, 1.0], by="a dog").info.steps_done == 2
    assert go([1.0, 3.0, 2.0], by="a cow").info.steps_done == 6


def test_a_restarted_run_begins_anew(go):
    assert go([2.0, 1.0]).info.steps_done == 2
    assert go([1.0, 1.5, 1.2], resume="restart").info.steps_done == 4


def test_what_could_not_be_scored_does_not_count(go):
    assert go([1.0, None, None, 3.0, 2.0]).info.steps_done == 8


def test_a_best_motion_of_another_step_is_not_taken(go, tmp_path):
    go([1.0, 2.0, 1.0])
    other = go(state="other.safetensors", num_steps=6)
    other.save(tmp_path / "state.best")
    assert go([1.5, 1.2]).info.steps_done == 8


def test_the_last_step_is_scored(untuned, clip_latents, context):
    stop = EarlyStop(score=scored([1.0, 2.0, 1.5]), every=5, patience=3)
    motion = tune(untuned, clip_latents, context, config=CONFIG, early_stop=stop)
    assert list(stop.scores) == [5, 10, 12]
    assert motion.info.steps_done == 10


@pytest.mark.parametrize("wrong", [{"every": 0}, {"patience": 0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match="1 or more"):
        EarlyStop(score=lambda motion: 0.0, **wrong)


def test_a_preview_scores_towards_its_prompt():
    class Judge:
        """Knows red from blue."""

        def encode_images(self, frames):
            return frames.mean(dim=(1, 2))[:, [0, 2]]

        def encode_text(self, prompt):
            return torch.tensor([[float("red" in prompt), float("blue" in prompt)]])

    red = torch.zeros(3, 4, 4, 3)
    red[..., 0] = 1
    go = lambda frames: preview_score(frames, Judge(), prompt="red", source_prompt="blue")  # noqa: E731
    assert go(red) == pytest.approx(100)
    assert go(red.flip(-1)) == pytest.approx(-100)
    assert go(torch.ones(3, 4, 4, 3)) == pytest.approx(0, abs=1e-4)
