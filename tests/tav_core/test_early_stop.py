"""tav_core/early_stop.py: when a run ends, and with which motion."""

from __future__ import annotations

import math

import pytest
import torch

from tav_core.early_stop import EarlyStop, preview_score
from tav_core.errors import ConfigError
from tav_core.tune import tune
from tav_core.tune_config import TuneConfig

CONFIG = TuneConfig(num_steps=12, learning_rate=1e-3, memory="speed", save_every=0)


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
def test_the_best_motion_is_returned(untuned, clip_latents, context, tmp_path, values, patience, best, last):
    stop = EarlyStop(score=scored(values), every=2, patience=patience)
    state = tmp_path / "state.safetensors"
    motion = tune(untuned, clip_latents, context, config=CONFIG, state_path=state, on_step=stop)
    assert (motion.info.steps_done, max(stop.scores)) == (best, last)
    plain = tune(untuned, clip_latents, context, config=TuneConfig(**{**vars(CONFIG), "num_steps": best}))
    assert all(torch.equal(motion.deltas[name], delta) for name, delta in plain.deltas.items())


def test_a_stopped_run_goes_on(untuned, clip_latents, context, tmp_path):
    state = tmp_path / "state.safetensors"
    stop = EarlyStop(score=scored([2.0, 1.0]), every=2, patience=1)
    assert tune(untuned, clip_latents, context, config=CONFIG, state_path=state, on_step=stop).info.steps_done == 2
    seen = []
    motion = tune(
        untuned, clip_latents, context, config=CONFIG, state_path=state, on_step=lambda p: seen.append(p.step)
    )
    assert seen == list(range(5, 13))
    plain = tune(untuned, clip_latents, context, config=CONFIG)
    assert all(torch.equal(motion.deltas[name], delta) for name, delta in plain.deltas.items())


def test_the_last_step_is_scored(untuned, clip_latents, context):
    stop = EarlyStop(score=scored([1.0, 2.0, 1.5]), every=5, patience=3)
    motion = tune(untuned, clip_latents, context, config=CONFIG, on_step=stop)
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
