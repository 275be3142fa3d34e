"""tav_core/sampling/solvers.py: what each method promises of the way back, on a tiny UNet in float64."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.guidance import guided
from tav_core.errors import ConfigError
from tav_core.evaluation.reconstruct import reconstruct
from tav_core.models.schedule import NoiseSchedule, ddim_step
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.sampling.samplers import as_they_are
from tav_core.sampling.solvers import relations, sample_back, walk_ddim
from tav_core.sampling.trajectory import Trajectory


@pytest.fixture
def clip_latents():
    """A smaller clip than elsewhere: in float64, convolutions are slow."""
    return torch.randn((1, 4, 3, 4, 4), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["epsilon", "v_prediction"])
def exact_denoiser(inflated, meta, request):
    """The tiny UNet in float64, with either prediction."""
    schedule = NoiseSchedule.from_config({**meta["scheduler_config"], "prediction_type": request.param})
    return UNetDenoiser(unet=inflated.double(), schedule=schedule)


@pytest.fixture
def clip(clip_latents):
    return clip_latents.double()


@pytest.fixture
def text(context):
    return context.double()


def test_o_belm_gives_the_clip_back_where_no_step_is_guided(exact_denoiser, clip, text):
    trajectory = invert(exact_denoiser, clip, text, num_steps=3, method="o_belm")
    config = EditConfig(num_steps=3, guidance_scale=12.5, guidance_until=0)
    back = edit(exact_denoiser, trajectory, text, text.flip(1), config=config)
    torch.testing.assert_close(back, clip, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("num_steps", "keep"), [(1, "all"), (2, "ends"), (8, "all")])
def test_o_belm_gives_the_clip_back_to_rounding(exact_denoiser, clip, text, num_steps, keep):
    trajectory = invert(exact_denoiser, clip, text, num_steps=num_steps, method="o_belm", keep=keep)
    back = reconstruct(exact_denoiser, trajectory, text)
    plain = reconstruct(exact_denoiser, invert(exact_denoiser, clip, text, num_steps=num_steps), text)
    assert back.error < 1e-10 < 1e-6 < plain.error


def test_o_belm_goes_back_through_every_latent(exact_denoiser, clip, text):
    trajectory, seen = invert(exact_denoiser, clip, text, num_steps=6, method="o_belm"), []
    reconstruct(exact_denoiser, trajectory, text, on_step=lambda done, total, latents: seen.append((done, latents)))
    assert [done for done, _ in seen] == [1, 2, 3, 4, 5, 6]
    for (_, latents), expected in zip(seen, reversed(trajectory.latents[:-1]), strict=True):
        torch.testing.assert_close(latents, expected, rtol=0, atol=1e-10)


def test_an_exact_edit_goes_on_from_what_correct_gives(denoiser, clip_latents, context):
    trajectory, seen = invert(denoiser, clip_latents, context, num_steps=4, method="o_belm"), []

    def correct(latents, left):
        seen.append(left)
        return torch.where(torch.arange(4) < 2, latents, trajectory.latents[left])

    config = EditConfig(num_steps=4, guidance_scale=4.0)
    got = edit(denoiser, trajectory, -context, context, config=config, correct=correct)
    assert seen == [3, 2, 1, 0]
    assert torch.equal(got[..., 2:], clip_latents[..., 2:])
    plain = edit(denoiser, trajectory, -context, context, config=config)
    assert not torch.allclose(got[..., :2], plain[..., :2], atol=1e-3)


def test_o_belm_in_float32_loses_little(denoiser, clip_latents, context):
    trajectory = invert(denoiser, clip_latents, context, num_steps=10, method="o_belm")
    assert reconstruct(denoiser, trajectory, context).error < 1e-4


def test_o_belm_is_exact_under_windows(exact_denoiser, text):
    from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser

    windowed = WindowedDenoiser(denoiser=exact_denoiser, windows=ContextWindows(length=3, overlap=1))
    clip = torch.randn((1, 4, 7, 4, 4), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    trajectory = invert(windowed, clip, text, num_steps=5, method="o_belm")
    assert reconstruct(windowed, trajectory, text).error < 1e-10


def solve(num_steps):
    """The error of O-BELM's relations on y(s) = sin s, with epsilon = cos s, from the true start."""
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    schedule = NoiseSchedule.from_config({**config, "set_alpha_to_one": False, "num_train_timesteps": 1000})
    levels = [schedule.final_alpha, *map(schedule.alpha, schedule.timesteps(num_steps))]
    sigmas = [torch.tensor(((1 - alpha) / alpha) ** 0.5, dtype=torch.float64) for alpha in levels]
    true = [alpha**0.5 * sigma.sin() for alpha, sigma in zip(levels, sigmas, strict=True)]
    noisier, middle = true[-1], true[-2]
    for sigma, relation in zip(reversed(sigmas[1:-1]), reversed(relations(schedule, num_steps)), strict=True):
        noisier, middle = middle, relation.cleaner(noisier, middle, sigma.cos())
    return float((middle - true[0]).abs())


def test_o_belm_is_of_second_order():
    errors = [solve(num_steps) for num_steps in (100, 200, 400)]
    assert errors[1] < 0.35 * errors[0] and errors[2] < 0.35 * errors[1]


def test_relations_turn_around(schedule):
    cleaner, middle, noisier, epsilon = torch.randn(4, 5, dtype=torch.float64)
    for relation in relations(schedule, 50):
        found = relation.noisier(cleaner, middle, epsilon)
        torch.testing.assert_close(relation.cleaner(found, middle, epsilon), cleaner, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(
            relation.noisier(relation.cleaner(noisier, middle, epsilon), middle, epsilon), noisier
        )


def test_a_schedule_whose_first_step_is_empty_is_exact_too(inflated, meta, clip, text):
    schedule = NoiseSchedule.from_config({**meta["scheduler_config"], "steps_offset": 0, "set_alpha_to_one": False})
    assert schedule.alpha(schedule.timesteps(5)[0]) == schedule.final_alpha
    model = UNetDenoiser(unet=inflated.double(), schedule=schedule)
    trajectory = invert(model, clip, text, num_steps=5, method="o_belm")
    assert reconstruct(model, trajectory, text).error < 1e-10


def test_fixed_point_of_one_iteration_is_ddim(denoiser, clip_latents, context):
    plain = invert(denoiser, clip_latents, context, num_steps=4)
    once = invert(denoiser, clip_latents, context, num_steps=4, method="fixed_point", iterations=1)
    assert torch.equal(once.latents, plain.latents)
    assert (plain.method, once.method) == ("ddim", "fixed_point")
    ignored = invert(denoiser, clip_latents, context, num_steps=4, iterations=7)
    assert torch.equal(ignored.latents, plain.latents)


def test_fixed_point_settles_on_what_ddim_sampling_undoes(exact_denoiser, clip, text):
    errors = []
    for iterations in (1, 3, 5):
        how = {"num_steps": 8, "method": "fixed_point", "iterations": iterations}
        errors.append(reconstruct(exact_denoiser, invert(exact_denoiser, clip, text, **how), text).error)
    assert errors[1] < 0.35 * errors[0] and errors[2] < 0.35 * errors[1]


@torch.no_grad()
def test_fixed_point_is_the_published_formula(exact_denoiser, clip, text):
    """z_t <- sqrt(at/as) z_s + [sqrt(1-at) - sqrt(at (1-as)/as)] e(z_t, t), of arXiv 2309.04907."""
    schedule = exact_denoiser.schedule
    model = lambda noisy, timestep: exact_denoiser.epsilon(noisy, timestep, text)  # noqa: E731
    timestep = schedule.timesteps(10)[0]
    clean, noisy = schedule.alpha(schedule.previous(timestep, 10)), schedule.alpha(timestep)
    expected = clip
    for _ in range(3):
        factor = (1 - noisy) ** 0.5 - (noisy * (1 - clean) / clean) ** 0.5
        expected = (noisy / clean) ** 0.5 * clip + factor * model(expected, timestep)
    torch.testing.assert_close(next(walk_ddim(model, clip, schedule, 10, 3)), expected)
    undone = ddim_step(expected, model(expected, timestep), alpha=noisy, alpha_to=clean)
    assert float((undone - clip).norm() / clip.norm()) < 0.05


@pytest.mark.parametrize("method", ["fixed_point", "o_belm"])
def test_a_trajectory_says_its_method_and_its_file_too(tmp_path, denoiser, clip_latents, context, method):
    trajectory = invert(denoiser, clip_latents, context, num_steps=3, method=method)
    loaded = Trajectory.load(trajectory.save(tmp_path / "t.safetensors"))
    assert loaded.method == trajectory.method == method
    config = EditConfig(num_steps=3)
    videos = [edit(denoiser, start, context, -context, config=config) for start in (trajectory, loaded)]
    assert torch.equal(*videos)


def test_a_file_of_before_there_were_methods_is_ddim(tmp_path):
    from safetensors.torch import save_file

    save_file({"latents": torch.zeros(2, 1, 4, 1, 8, 8)}, tmp_path / "old.safetensors", {"timesteps": "[1]"})
    assert Trajectory.load(tmp_path / "old.safetensors").method == "ddim"


def test_what_does_not_fit_is_refused(denoiser, clip_latents, context):
    exact = invert(denoiser, clip_latents, context, num_steps=3, method="o_belm")
    with pytest.raises(ConfigError, match=r"eta 0.5 for an inversion by o_belm.*invert by ddim"):
        edit(denoiser, exact, context, context, config=EditConfig(num_steps=3, eta=0.5))
    for wrong in ({"method": "euler"}, {"iterations": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            invert(denoiser, clip_latents, context, num_steps=3, **wrong)


@pytest.mark.parametrize("method", ["ddim", "fixed_point"])
def test_negative_prompt_inversion_gives_the_reconstruction_at_any_guidance(denoiser, clip_latents, context, method):
    """With the source prompt as both prompts, guidance has nothing to add (arXiv 2305.16807)."""
    trajectory = invert(denoiser, clip_latents, context, num_steps=4, method=method)
    config = EditConfig(num_steps=4, guidance_scale=7.5)
    back = edit(denoiser, trajectory, context, context, config=config)
    torch.testing.assert_close(back, reconstruct(denoiser, trajectory, context).latents, rtol=0, atol=1e-3)


def test_guidance_fades_the_remainder(denoiser, clip_latents, context):
    trajectory = invert(denoiser, clip_latents, context, num_steps=3, method="o_belm")
    render = lambda start, scale: edit(  # noqa: E731
        denoiser, start, -context, context, config=EditConfig(num_steps=3, guidance_scale=scale)
    )
    faded = dataclasses.replace(trajectory, remainder=trajectory.remainder / 4)
    model = guided(denoiser, -context, context, 4.0)
    with torch.no_grad():
        *_, expected = sample_back(model, trajectory.noise, faded.remainder, denoiser.schedule, 3, as_they_are)
    torch.testing.assert_close(render(trajectory, 4.0), expected)
    for scale in (0.5, 1.0):
        assert not torch.equal(render(trajectory, scale), render(faded, scale))


def test_o_belm_goes_on_from_what_correct_gives(exact_denoiser, clip, text):
    """Corrected to its own way at every step, an edit under guidance ends at the clip; left alone it does not."""
    trajectory, other = invert(exact_denoiser, clip, text, num_steps=6, method="o_belm"), text.flip(1)
    config, asked = EditConfig(num_steps=6, guidance_scale=5.0), []

    def correct(latents, steps_left):
        asked.append(steps_left)
        return trajectory.latents[steps_left] if steps_left else latents

    corrected = edit(exact_denoiser, trajectory, other, text, config=config, correct=correct)
    plain = edit(exact_denoiser, trajectory, other, text, config=config)
    assert asked == [5, 4, 3, 2, 1, 0]
    assert (corrected - clip).abs().max() < (plain - clip).abs().max() / 2
