"""tav_core/sampling/multistep.py: DPM-Solver++(2M) is diffusers', is of second order, and goes both ways."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.errors import ConfigError
from tav_core.models.schedule import NoiseSchedule, ddim_step
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.injection import InjectedDenoiser
from tav_core.sampling.invert import invert
from tav_core.sampling.local_edit import keep_outside
from tav_core.sampling.multistep import sample_second_order, walk_second_order
from tav_core.sampling.trajectory import Trajectory

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def smooth(schedule):
    """A model whose epsilon bends with the latents and with the noise."""
    return lambda latents, timestep: 0.3 * torch.sin(latents * schedule.alpha(timestep) ** 0.5) + 0.1


@pytest.fixture(params=[True, False], ids=["ends at alpha 1", "ends at the first alpha"])
def schedule(request):
    return NoiseSchedule.from_config({**SD, "set_alpha_to_one": request.param})


def test_sampling_is_diffusers_own(schedule):
    final = "zero" if schedule.final_alpha == 1 else "sigma_min"
    stock = DPMSolverMultistepScheduler(**SD, lower_order_final=False, final_sigmas_type=final)
    stock.set_timesteps(timesteps=list(reversed(schedule.timesteps(10))))
    model, latents = smooth(schedule), torch.randn(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    *_, ours = sample_second_order(model, latents.double(), schedule, 10)
    for timestep in stock.timesteps:
        latents = stock.step(model(latents, int(timestep)), timestep, latents).prev_sample
    torch.testing.assert_close(ours.float(), latents, rtol=1e-4, atol=1e-4)


def test_a_step_without_one_before_is_ddims(schedule):
    model, latents = smooth(schedule), torch.randn(1, 4, 2, 8, 8)
    timestep = schedule.timesteps(4)[0]
    ends = schedule.alpha(schedule.previous(timestep, 4)), schedule.alpha(timestep)
    up = ddim_step(latents, model(latents, 0), alpha=ends[0], alpha_to=ends[1])
    torch.testing.assert_close(next(walk_second_order(model, latents, schedule, 4)), up)
    down = ddim_step(latents, model(latents, 751), alpha=schedule.alpha(751), alpha_to=schedule.alpha(501))
    torch.testing.assert_close(next(sample_second_order(model, latents, schedule, 4)), down)


def test_twice_the_steps_lose_a_fifth_or_less_on_the_way_there_and_back(schedule):
    model, clip = smooth(schedule), torch.randn(1, 4, 2, 8, 8, dtype=torch.float64)

    def lost(num_steps):
        *_, noise = walk_second_order(model, clip, schedule, num_steps)
        *_, back = sample_second_order(model, noise, schedule, num_steps)
        return float((back - clip).norm() / clip.norm())

    assert lost(40) < lost(20) / 3 and lost(20) < lost(10) / 2


def test_an_edit_goes_back_by_the_inversions_steps(tmp_path, denoiser, clip_latents, context):
    trajectory = invert(denoiser, clip_latents, context, num_steps=4, method="dpmpp_2m")
    loaded = Trajectory.load(trajectory.save(tmp_path / "t.safetensors"))
    assert loaded.method == "dpmpp_2m" and len(trajectory.latents) == 5
    asked, done = [], []

    def correct(latents, steps_left):
        asked.append(steps_left)
        return latents

    config = EditConfig(num_steps=4, guidance_scale=3.0)
    told = lambda at, total, latents: done.append((at, total))  # noqa: E731
    edited = edit(denoiser, loaded, context, -context, config=config, correct=correct, on_step=told)
    assert asked == [3, 2, 1, 0] and done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    by_ddim = dataclasses.replace(trajectory, method="ddim")
    assert edited.isfinite().all()
    assert not torch.allclose(edited, edit(denoiser, by_ddim, context, -context, config=config))


def test_fresh_noise_is_refused_and_a_noise_prior_is_not(denoiser, clip_latents, context):
    trajectory = invert(denoiser, clip_latents, context, num_steps=3, method="dpmpp_2m")
    with pytest.raises(ConfigError, match=r"eta 0.5 for an inversion by dpmpp_2m.*Use eta 0, or invert by ddim"):
        edit(denoiser, trajectory, context, context, config=EditConfig(num_steps=3, eta=0.5))
    mixed = edit(denoiser, trajectory, context, context, config=EditConfig(num_steps=3, noise_prior=0.5))
    assert mixed.isfinite().all()


def test_a_mask_keeps_the_clip_and_windows_and_injection_go_along(denoiser, clip_latents, context):
    windowed = WindowedDenoiser(denoiser=denoiser, windows=ContextWindows(length=3, overlap=1))
    trajectory = invert(windowed, clip_latents, context, num_steps=4, method="dpmpp_2m")
    injected = InjectedDenoiser(denoiser=windowed, trajectory=trajectory, source_context=context)
    config = EditConfig(num_steps=4, guidance_scale=3.0, guidance_until=0.5)
    mask = torch.zeros(1, *(8 * side for side in clip_latents.shape[-2:]))
    mask[..., : mask.shape[-1] // 2] = 1
    how = {"config": config, "correct": keep_outside(trajectory, mask, feather=0)}
    edited = edit(injected, trajectory, -context, context, **how)
    half = clip_latents.shape[-1] // 2
    torch.testing.assert_close(edited[..., half:], clip_latents[..., half:])
    assert edited.isfinite().all() and not torch.allclose(edited[..., :half], clip_latents[..., :half])
