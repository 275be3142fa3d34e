"""tav_core/sampling/from_animation.py: sampling from a noised animation, and holding it inside a mask."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from diffusers import DDIMScheduler

from tav_core.errors import ClipError, ConfigError, LatentsError
from tav_core.models.schedule import gaussian_noise
from tav_core.sampling.config import AnimationConfig, EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.from_animation import HeldDenoiser, edit_animation, hold_inside, noise_animation
from tav_core.sampling.invert import invert

TEN = EditConfig(num_steps=10, guidance_scale=3.0, seed=5)
SHAPE = (1, 4, 4, 8, 8)


def noised(**settings):
    return AnimationConfig(begin="noised", **settings)


@pytest.fixture
def texts(goldens):
    unet = goldens("unet")
    return unet["ctx.edit"], unet["ctx.empty"]


@pytest.fixture
def animation():
    return gaussian_noise(SHAPE, 1)


@pytest.fixture
def mask():
    """The object in the left half of every frame."""
    mask = torch.zeros(4, 64, 64)
    mask[:, :, :24] = 1
    return mask


@dataclass
class Perfect:
    """Finds the noise that leads to the same clean latents everywhere."""

    schedule: object
    clean: torch.Tensor

    def epsilon(self, latents, timestep, context):
        alpha = self.schedule.alpha(timestep)
        return (latents - alpha**0.5 * self.clean) / (1 - alpha) ** 0.5


def test_all_frames_get_the_same_noise(denoiser, animation):
    begun = noise_animation(denoiser.schedule, animation, noised(strength=0.7), TEN)
    alpha = denoiser.schedule.alpha(denoiser.schedule.timesteps(10)[6])
    noise = (begun - alpha**0.5 * animation) / (1 - alpha) ** 0.5
    torch.testing.assert_close(noise, noise[:, :, :1].expand_as(noise), atol=1e-5, rtol=0)
    assert float(noise.std()) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("strength", "steps"), [(1.0, 10), (0.7, 7), (0.05, 1)])
def test_as_many_steps_are_taken_as_there_is_noise_for(denoiser, animation, texts, strength, steps):
    seen = []
    edit_animation(
        denoiser,
        animation,
        *texts,
        start=noised(strength=strength),
        config=TEN,
        on_step=lambda done, total, latents: seen.append((done, total)),
    )
    assert seen == [(done, steps) for done in range(1, steps + 1)]


def test_it_is_what_diffusers_image_to_image_does(denoiser, animation, texts, close):
    """DDIMScheduler of diffusers from the same noised latents, over its last timesteps."""
    scheduler = DDIMScheduler.from_config(dict(denoiser.schedule.config), clip_sample=False)
    scheduler.set_timesteps(10)
    noise = gaussian_noise((1, 4, 1, 8, 8), TEN.seed).expand(SHAPE)
    latents = scheduler.add_noise(animation, noise, scheduler.timesteps[4:5])
    for timestep in scheduler.timesteps[4:]:
        with torch.no_grad():
            told, avoided = (denoiser.epsilon(latents, int(timestep), text) for text in texts)
        epsilon = avoided + TEN.guidance_scale * (told - avoided)
        latents = scheduler.step(epsilon, timestep, latents).prev_sample
    got = edit_animation(denoiser, animation, *texts, start=noised(strength=0.6, hold=0), config=TEN)
    close(got, latents, 5e-5)


def test_a_held_animation_comes_out_inside_the_mask_and_not_outside(denoiser, animation, texts, mask):
    other = Perfect(denoiser.schedule, gaussian_noise(SHAPE, 2))
    held = edit_animation(other, animation, *texts, mask=mask, start=noised(hold=1.0), config=TEN)
    # DDIM ends at a trace of noise. The cells of the mask's soft edge are a mixture.
    torch.testing.assert_close(held[..., :3], animation[..., :3], atol=0.2, rtol=0)
    torch.testing.assert_close(held[..., 5:], other.clean[..., 5:], atol=0.2, rtol=0)


def test_it_is_held_in_the_first_steps_alone(denoiser, animation, texts, mask):
    start = noised(strength=0.8, hold=0.5)
    held = hold_inside(denoiser, animation, mask, start, num_steps=10)
    assert isinstance(held, HeldDenoiser)
    noisy, changed = gaussian_noise(SHAPE, 3), []
    for timestep in denoiser.schedule.timesteps(10)[:8]:
        with torch.no_grad():
            pair = [each.epsilon(noisy, timestep, texts[0]) for each in (held, denoiser)]
        changed.append(not torch.equal(*pair))
        assert torch.equal(pair[0][..., 5:], pair[1][..., 5:])
    assert changed == [False] * 4 + [True] * 4


def test_the_latents_inside_go_on_as_the_noised_animation(denoiser, animation, texts, mask):
    """What Time-to-Move replaces after each step is there already, because the prediction was replaced."""
    seen, start = [], noised(strength=0.8, hold=0.5)
    edit_animation(
        denoiser,
        animation,
        *texts,
        mask=mask,
        start=start,
        config=TEN,
        on_step=lambda done, total, latents: seen.append(latents),
    )
    for done in range(1, 5):
        wanted = noise_animation(denoiser.schedule, animation, noised(strength=(8 - done) / 10), TEN)
        torch.testing.assert_close(seen[done - 1][..., :3], wanted[..., :3], atol=1e-4, rtol=0)


def test_an_inverted_animation_is_edited_as_any_clip(denoiser, animation, texts, mask):
    got = edit_animation(denoiser, animation, *texts, mask=mask, config=TEN)
    assert torch.equal(got, edit(denoiser, invert(denoiser, animation, texts[1], num_steps=10), *texts, config=TEN))


def test_nothing_is_held_without_a_mask_or_a_share(denoiser, animation, texts, mask):
    plain = edit_animation(denoiser, animation, *texts, start=noised(hold=0.5), config=TEN)
    off = edit_animation(denoiser, animation, *texts, mask=mask, start=noised(hold=0), config=TEN)
    on = edit_animation(denoiser, animation, *texts, mask=mask, start=noised(hold=0.5), config=TEN)
    assert torch.equal(plain, off) and not torch.equal(plain, on)


def test_tokens_merge_in_the_model_that_holds_an_animation(denoiser, animation, texts, mask):
    merging = EditConfig(num_steps=10, guidance_scale=3.0, seed=5, merge_tokens=0.5)
    found = [
        edit_animation(denoiser, animation, *texts, mask=mask, start=noised(), config=each) for each in (TEN, merging)
    ]
    assert found[1].isfinite().all() and not torch.allclose(*found, atol=1e-4)


@pytest.mark.parametrize("begin", ["inverted", "noised"])
def test_no_step_of_an_animation_is_taken_again(animation, texts, begin):
    """It is said before anything is predicted."""
    again = EditConfig(num_steps=10, resample=2)
    with pytest.raises(ConfigError, match="resample 2 without a mask"):
        edit_animation(None, animation, *texts, start=AnimationConfig(begin=begin), config=again)


def test_an_edit_takes_some_steps_only_from_latents_that_were_noised(denoiser, animation, texts):
    with pytest.raises(ConfigError, match="11 of 10 steps"):
        edit(denoiser, animation, *texts, config=TEN, steps=11)
    inverted = invert(denoiser, animation, texts[1], num_steps=10)
    with pytest.raises(ConfigError, match="3 steps of an inverted start"):
        edit(denoiser, inverted, *texts, config=TEN, steps=3)
    with pytest.raises(ConfigError, match="3 steps of DDIMScheduler"):
        edit(denoiser, animation, *texts, config=TEN, steps=3, scheduler=DDIMScheduler())


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"mask": torch.zeros(4, 64, 64)}, ClipError, "an empty mask"),
        ({"mask": torch.ones(4, 8, 8)}, ClipError, "a mask of 8x8 pixels"),
        ({"mask": torch.ones(3, 64, 64)}, ClipError, "a mask of 3 frames"),
        ({"animation": torch.zeros(4, 4, 8, 8)}, LatentsError, "five axes"),
    ],
)
def test_what_does_not_fit_is_refused(denoiser, animation, texts, mask, change, error, told):
    given = {"animation": animation, "mask": mask, **change}
    with pytest.raises(error, match=told):
        edit_animation(denoiser, given["animation"], *texts, mask=given["mask"], start=noised(hold=0.5))
