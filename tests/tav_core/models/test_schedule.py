"""tav_core/models/schedule.py against diffusers' schedulers and the definitions."""

from __future__ import annotations

import pytest
import torch

from tav_core.errors import CheckpointError, ConfigError
from tav_core.models.schedule import NoiseSchedule, ddim_step


@pytest.fixture
def velocity(meta):
    return NoiseSchedule.from_config({**meta["scheduler_config"], "prediction_type": "v_prediction"})


@pytest.mark.parametrize("num_steps", [1, 7, 10, 50, 999])
def test_timesteps_are_diffusers(schedule, num_steps):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config(schedule.config)
    scheduler.set_timesteps(num_steps)
    assert list(reversed(schedule.timesteps(num_steps))) == scheduler.timesteps.tolist()


def test_original_timesteps(schedule, meta):
    assert list(schedule.timesteps(10)) == meta["inv10_timesteps_in_order"]
    assert list(schedule.timesteps(50)) == meta["inv50_timesteps_in_order"]


@pytest.mark.parametrize("timestep", [-20, 0, 1, 500, 999])
def test_sigma_is_the_noise_that_a_unit_of_signal_has(schedule, timestep):
    alpha = schedule.alpha(timestep)
    assert schedule.sigma(timestep) == pytest.approx((1 / alpha - 1) ** 0.5, rel=1e-12)
    assert schedule.sigma(-20) == schedule.sigma(0) == pytest.approx(0.029, abs=1e-3)


@pytest.mark.parametrize("num_steps", [0, -1, 1000])
def test_impossible_step_counts_are_refused(schedule, num_steps):
    with pytest.raises(ConfigError, match="1 to 999"):
        schedule.timesteps(num_steps)


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("timestep", [1, 401, 981])
def test_ddim_step_is_diffusers(schedule, close, eta, timestep):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config(schedule.config)
    scheduler.set_timesteps(50)
    latents, epsilon, noise = torch.randn(3, 1, 4, 2, 4, 4)
    expected = scheduler.step(epsilon, timestep, latents, eta=eta, variance_noise=noise).prev_sample
    got = ddim_step(
        latents,
        epsilon,
        alpha=schedule.alpha(timestep),
        alpha_to=schedule.alpha(schedule.previous(timestep, 50)),
        eta=eta,
        noise=noise,
    )
    close(got, expected, 1e-6)


@pytest.mark.parametrize("timestep", [0, 481, 999])
def test_epsilon_comes_back_from_both_kinds_of_target(schedule, velocity, timestep):
    latents, noise = torch.randn(2, 1, 4, 2, 4, 4, dtype=torch.float64)
    for kind in (schedule, velocity):
        noisy = kind.add_noise(latents, noise, timestep)
        target = kind.training_target(latents, noise, timestep)
        torch.testing.assert_close(kind.epsilon_from(target, noisy, timestep), noise)


def test_velocity_target_is_diffusers(velocity, close):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_config(velocity.config)
    latents, noise = torch.randn(2, 1, 4, 2, 4, 4)
    step = torch.tensor([481])
    close(velocity.training_target(latents, noise, 481), scheduler.get_velocity(latents, noise, step), 1e-6)
    close(velocity.add_noise(latents, noise, 481), scheduler.add_noise(latents, noise, step), 1e-6)


def test_pndm_config_of_published_checkpoints_is_read():
    config = {
        "_class_name": "PNDMScheduler",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "clip_sample": False,
    }
    schedule = NoiseSchedule.from_config(config)
    assert (schedule.prediction_type, schedule.steps_offset) == ("epsilon", 1)
    assert schedule.final_alpha == schedule.alpha(0) == pytest.approx(1 - 0.00085)


def test_other_predictions_are_refused(meta):
    with pytest.raises(CheckpointError, match="sample"):
        NoiseSchedule.from_config({**meta["scheduler_config"], "prediction_type": "sample"})


@pytest.mark.parametrize("empty", [[], None, {}])
def test_no_trained_betas_are_none(meta, empty):
    plain = NoiseSchedule.from_config(meta["scheduler_config"])
    schedule = NoiseSchedule.from_config({**meta["scheduler_config"], "trained_betas": empty})
    assert schedule.alphas == plain.alphas
    # Other schedulers are built from the same config.
    assert schedule.config["trained_betas"] is None


def test_trained_betas_are_taken(meta):
    schedule = NoiseSchedule.from_config({**meta["scheduler_config"], "trained_betas": [0.5, 0.5]})
    assert schedule.alphas == pytest.approx((0.5, 0.25))


def test_pure_noise_at_the_last_timestep_has_a_noise_level(meta):
    """Rescaled betas end in an alpha of 0, which nothing can be divided by."""
    config = {**meta["scheduler_config"], "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    schedule = NoiseSchedule.from_config(config)
    assert 0 < schedule.alphas[-1] < 1e-7 and schedule.sigma(999) == pytest.approx(4518.8, abs=1)
    assert schedule.alphas[0] == pytest.approx(1 - 0.00085, abs=1e-6)


@pytest.mark.parametrize(
    "settings, word",
    [
        ({"trained_betas": ["a"]}, "str"),
        ({"trained_betas": 0.1}, "0-dim"),
        ({"trained_betas": [-1.0] * 3}, "between 0 and 1"),
        ({"trained_betas": [float("nan")] * 3}, "between 0 and 1"),
        ({"beta_schedule": "x"}, "x is not implemented"),
        ({"beta_start": None}, "NoneType"),
        ({"num_train_timesteps": 0}, "size 0"),
        ({"num_train_timesteps": "1000"}, "linspace"),
        ({"steps_offset": "1"}, "steps_offset '1'"),
    ],
)
def test_a_config_without_a_schedule_is_refused(meta, settings, word):
    with pytest.raises(CheckpointError, match="no noise schedule") as caught:
        NoiseSchedule.from_config({**meta["scheduler_config"], **settings})
    assert word in caught.value.got and "\n" not in str(caught.value)
