"""What each step learns from: the range of timesteps, the weight of a timestep, the offset of the noise."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

from tav_core.errors import ConfigError
from tav_core.models.schedule import NoiseSchedule
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.debias import debiased_loss, draw_anchor
from tav_core.tuning.training_run import TuningRun
from tav_core.tuning.tune import tune

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def start(untuned, clip_latents, context, **config):
    return TuningRun(untuned, clip_latents, context, config=TuneConfig(**config))


def drawn(run, num_steps=40):
    for run.step in range(num_steps):
        yield run.draw()


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_weights_are_those_of_diffusers_training_scripts(prediction_type):
    schedule = NoiseSchedule.from_config(SD | {"prediction_type": prediction_type})
    timesteps = torch.tensor([0, 1, 200, 500, 999])
    snr = compute_snr(DDPMScheduler(**SD), timesteps)
    expected = snr.clamp(max=5.0) / (snr if prediction_type == "epsilon" else snr + 1)
    got = torch.tensor([schedule.min_snr_weight(int(t), 5.0) for t in timesteps])
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=0)
    assert schedule.min_snr_weight(500, 0.0) == 1.0


def test_the_loss_is_weighed(untuned, clip_latents, context):
    plain, weighed = (start(untuned, clip_latents, context, min_snr_gamma=gamma) for gamma in (0.0, 5.0))
    for latents, noise, _ in drawn(plain, 2):
        for timestep in (3, 900):
            with torch.no_grad():
                one, other = (run.loss(latents, noise, timestep).item() for run in (plain, weighed))
            assert other == pytest.approx(one * untuned.schedule.min_snr_weight(timestep, 5.0))
    assert untuned.schedule.min_snr_weight(3, 5.0) < 0.1 and untuned.schedule.min_snr_weight(900, 5.0) == 1.0


def test_timesteps_stay_within_their_range(untuned, clip_latents, context):
    run = start(untuned, clip_latents, context, min_timestep=300, max_timestep=310)
    assert {timestep for *_, timestep in drawn(run)} == set(range(300, 310))


def test_an_offset_is_one_value_per_channel_on_the_same_noise(untuned, clip_latents, context):
    plain, shifted = (start(untuned, clip_latents, context, noise_offset=offset) for offset in (0.0, 0.1))
    for (latents, noise, timestep), (same, moved, at) in zip(drawn(plain, 3), drawn(shifted, 3), strict=True):
        assert torch.equal(latents, same) and timestep == at
        offsets = (moved - noise).flatten(2)
        torch.testing.assert_close(offsets, offsets[:, :, :1].expand_as(offsets), rtol=0, atol=1e-6)
        assert 0 < offsets.abs().max() < 0.5 and len(offsets[0, :, 0].unique()) == offsets.shape[1]


@pytest.mark.parametrize(
    "settings", [{"min_snr_gamma": 5.0}, {"noise_offset": 0.1}, {"min_timestep": 200}, {"max_timestep": 800}]
)
def test_another_objective_is_another_run(tmp_path, untuned, clip_latents, context, settings):
    config = TuneConfig(num_steps=1, memory="speed")
    tune(untuned, clip_latents, context, config=config, state_path=tmp_path / "state")
    other = dataclasses.replace(config, num_steps=2, **settings)
    with pytest.raises(ConfigError, match=next(iter(settings))):
        tune(untuned, clip_latents, context, config=other, state_path=tmp_path / "state")


@pytest.mark.parametrize(
    "settings",
    [{"min_timestep": 500, "max_timestep": 500}, {"noise_offset": -0.1}, {"min_snr_gamma": -1.0}, {"max_timestep": 0}],
)
def test_what_no_run_can_have_is_refused(settings):
    with pytest.raises(ConfigError):
        TuneConfig(**settings)


def test_a_range_beyond_the_models_timesteps_is_refused(untuned, clip_latents, context):
    with pytest.raises(ConfigError, match="min_timestep 1000 for a model of 1000 timesteps"):
        start(untuned, clip_latents, context, min_timestep=1000, max_timestep=2000).draw()


def phi(noise, anchor, beta):
    """MotionDirector's formula, frame by frame (arXiv 2310.08465, equation 8)."""
    frames = [(beta**2 + 1) ** 0.5 * noise[:, :, i] - beta * noise[:, :, anchor] for i in range(noise.shape[2])]
    return torch.stack(frames, dim=2)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_the_debiased_loss_is_the_papers(beta):
    predicted, target = torch.randn((2, 1, 4, 5, 3, 3), generator=torch.Generator().manual_seed(1))
    for anchor in range(5):
        expected = torch.nn.functional.mse_loss(phi(predicted, anchor, beta), phi(target, anchor, beta))
        torch.testing.assert_close(debiased_loss(predicted, target, anchor=anchor, beta=beta), expected)


def test_what_all_frames_share_counts_little_and_what_differs_in_full():
    target = torch.zeros(1, 4, 6, 8, 8)
    shared = torch.ones_like(target)
    # sqrt(2) - 1 of an error in all frames is left; of one in a single other frame, sqrt(2).
    assert debiased_loss(shared, target, anchor=2).item() == pytest.approx((2**0.5 - 1) ** 2)
    alone = target.clone()
    alone[:, :, 4] = 1
    assert debiased_loss(alone, target, anchor=2).item() == pytest.approx(2 / 6)


def test_the_debiased_loss_is_added_and_changes_no_draw(untuned, clip_latents, context):
    plain, debiased, twice = (
        start(untuned, clip_latents, context, appearance_debias=weight) for weight in (0.0, 1.0, 2.0)
    )
    for (latents, noise, timestep), same in zip(drawn(plain, 2), drawn(debiased, 2), strict=True):
        assert torch.equal(latents, same[0]) and torch.equal(noise, same[1]) and timestep == same[2]
        twice.step = plain.step
        with torch.no_grad():
            one, two, three = (run.loss(latents, noise, timestep).item() for run in (plain, debiased, twice))
        assert two > one and three - one == pytest.approx(2 * (two - one), rel=1e-4)


def test_anchors_are_drawn_from_seed_and_step_among_all_frames():
    anchors = [draw_anchor(6, seed=33, step=step) for step in range(200)]
    assert set(anchors) == set(range(6)) and anchors == [draw_anchor(6, seed=33, step=step) for step in range(200)]
    assert anchors != [draw_anchor(6, seed=34, step=step) for step in range(200)]


def test_a_run_with_another_weight_is_another_run(untuned, clip_latents, context, tmp_path):
    how = {"num_steps": 1, "memory": "speed"}
    file = tmp_path / "state.safetensors"
    tune(untuned, clip_latents, context, config=TuneConfig(appearance_debias=1.0, **how), state_path=file)
    with pytest.raises(ConfigError, match="its appearance_debias is not the one asked for"):
        tune(untuned, clip_latents, context, config=TuneConfig(**how), state_path=file)
