"""Tuning on a long clip by windows: which frames a step sees, what counts, and that such a run can be resumed."""

from __future__ import annotations

import pytest
import torch

from tav_core.errors import ConfigError
from tav_core.models.latents import LatentMoments
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.training_run import TuningRun
from tav_core.tuning.tune import tune

FAST = {"learning_rate": 1e-3, "memory": "speed"}


@pytest.fixture
def clip():
    mean = torch.arange(9.0)[:, None, None].expand(1, 4, 9, 8, 8).contiguous()
    return LatentMoments(mean=mean, std=torch.zeros_like(mean))


def draws(untuned, clip, context, window, seed=33, steps=40):
    run = TuningRun(untuned, clip, context, config=TuneConfig(window=window, seed=seed, **FAST))
    drawn = []
    for run.step in range(steps):
        drawn.append(run.draw())
    return drawn


def test_a_step_sees_neighbouring_frames_and_frame_0_in_front(untuned, clip, context):
    seen = {tuple(latents[0, 0, :, 0, 0].int().tolist()) for latents, _, _ in draws(untuned, clip, context, 3)}
    assert seen == {(0, 1, 2), (0, 1, 2, 3), *((0, i, i + 1, i + 2) for i in range(2, 7))}


def test_draws_come_from_seed_and_step_alone(untuned, clip, context):
    one, other, third = (draws(untuned, clip, context, 3, seed, 5) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x[:2], y[:2], strict=True))
    assert [x[2] for x in one] == [x[2] for x in other] != [x[2] for x in third]


@pytest.mark.parametrize("window", [9, 20])
def test_a_window_of_all_frames_is_none(untuned, clip, context, window):
    for one, other in zip(*(draws(untuned, clip, context, w, steps=3) for w in (0, window)), strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1]) and one[2] == other[2]


def test_frame_0_in_front_does_not_count(untuned, clip, context):
    run = TuningRun(untuned, clip, context, config=TuneConfig(window=3, **FAST))
    latents, noise, timestep = next(d for d in draws(untuned, clip, context, 3) if d[0].shape[2] == 4)
    noisy = run.schedule.add_noise(latents, noise, timestep)
    error = (run.unet(noisy, timestep, run.context) - noise).square()
    torch.testing.assert_close(run.loss(latents, noise, timestep), error[:, :, 1:].mean())
    assert run.loss(latents, noise, timestep) != error.mean()


def test_another_window_is_another_run(tmp_path, untuned, clip, context):
    path, config = tmp_path / "state.safetensors", TuneConfig(num_steps=2, window=3, **FAST)
    tune(untuned, clip, context, config=config, state_path=path)
    for window in (0, 4):
        with pytest.raises(ConfigError, match="its window is not"):
            tune(untuned, clip, context, config=TuneConfig(num_steps=2, window=window, **FAST), state_path=path)


def test_resuming_gives_the_unbroken_run(tmp_path, untuned, clip, context):
    path, config = tmp_path / "state.safetensors", TuneConfig(num_steps=4, window=3, **FAST)

    def cancel(progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(untuned, clip, context, config=config, state_path=path, on_step=cancel)
    resumed = tune(untuned, clip, context, config=config, state_path=path)
    unbroken = tune(untuned, clip, context, config=config)
    for one, other in ((resumed.deltas, unbroken.deltas), (resumed.temporal, unbroken.temporal)):
        assert one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
