"""Video Instruct-Pix2Pix: equal to the original's, and guidance at any scale."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from einops import rearrange

from tav_core.denoisers.instruct import InstructDenoiser
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.errors import LatentsError
from tav_core.models.conditioning import Conditioning
from tav_core.sampling.zero_shot.instruct import TO_FRAMES, TO_VIDEO, instruct
from tav_core.sampling.zero_shot.instruct_config import InstructConfig


@pytest.fixture
def told(make_denoiser, original):
    return make_denoiser(**{"conv_in.weight": original("pix2pix")["conv_in.weight"].float()})


def config_of(run):
    return InstructConfig(
        num_steps=run["num_inference_steps"],
        guidance_scale=run["text_guidance_scale"],
        image_guidance_scale=run["image_guidance_scale"],
        seed=run["generator_seed"],
    )


@pytest.mark.parametrize("name", ["p2p.s10", "p2p.s50"])
def test_edits_equal_the_originals(told, prompts, original, settings, close, name):
    """Timesteps of p2p.s50 are fractions."""
    tensors, steps = original("pix2pix"), []
    pictures = rearrange(tensors[f"{name}.image_latents"], TO_VIDEO)
    config = config_of(settings["pix2pix"][name])
    found = instruct(told, pictures, *prompts, config=config, on_step=lambda *at: steps.append(at[2]))
    close(rearrange(found, TO_FRAMES), tensors[f"{name}.x_0"], 2e-5)
    if name == "p2p.s10":
        way = torch.stack([rearrange(latents, TO_FRAMES) for latents in steps])
        close(way, tensors[f"{name}.trajectory"], 2e-5)


def test_one_guided_prediction_equals_the_originals(told, prompts, original, settings, close):
    tensors, run = original("pix2pix"), settings["pix2pix"]["p2p.s10"]
    guided = InstructDenoiser(
        denoiser=told,
        pictures=rearrange(tensors["p2p.s10.image_latents"], TO_VIDEO),
        negative=Conditioning(text=prompts[1]),
        guidance_scale=run["text_guidance_scale"],
        image_guidance_scale=run["image_guidance_scale"],
    )
    latents = rearrange(tensors["p2p.s10.x_step3_in"], TO_VIDEO) / (run["sigmas"][3] ** 2 + 1) ** 0.5
    found = guided.epsilon(latents, run["timesteps"][3], prompts[0])
    close(rearrange(found, TO_FRAMES), tensors["p2p.s10.noise_pred_step3"], 1e-5)


@pytest.mark.parametrize("image_guidance_scale", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("sampler", ["euler_ancestral", "ddim"])
def test_any_scale_and_sampler_gives_a_finite_video(told, prompts, image_guidance_scale, sampler):
    """The original turns all guidance off below 1, and its frames attend in the wrong groups."""
    config = InstructConfig(num_steps=6, image_guidance_scale=image_guidance_scale, sampler=sampler)
    pictures = torch.randn(1, 4, 5, 8, 8)
    found = instruct(told, pictures, *prompts, config=config)
    assert found.shape == pictures.shape and torch.isfinite(found).all()
    again = instruct(told, pictures, *prompts, config=config)
    assert torch.equal(found, again)


def test_a_model_that_takes_no_picture_is_refused(zero_shot, prompts):
    with pytest.raises(LatentsError, match="channels"):
        instruct(zero_shot, torch.randn(1, 4, 2, 8, 8), *prompts, config=InstructConfig(num_steps=2))


def test_frames_are_picked_with_their_pictures(told, prompts):
    pictures = torch.randn(1, 4, 4, 8, 8)
    guided = InstructDenoiser(
        denoiser=told,
        pictures=pictures,
        negative=Conditioning(text=prompts[1]),
        guidance_scale=3.0,
        image_guidance_scale=1.5,
    )
    latents = torch.randn(1, 4, 4, 8, 8)
    whole = guided.epsilon(latents, 401, prompts[0])[:, :, [0, 2]]
    part = guided.pick_frames([0, 2]).epsilon(latents[:, :, [0, 2]], 401, prompts[0])
    torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-5)
    for count in (2, 6):
        other = replace(guided, pictures=torch.randn(1, 4, count, 8, 8))
        with pytest.raises(LatentsError, match=f"{count} pictures to edit for 4 frames"):
            WindowedDenoiser(denoiser=other, windows=ContextWindows(length=2, overlap=0)).epsilon(
                latents, 401, prompts[0]
            )
