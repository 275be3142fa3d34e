"""Frames to latents and back, against the VAE called by hand."""

from __future__ import annotations

import copy

import pytest
import torch

from tav_core.errors import ClipError, LatentsError
from tav_core.models.latents import LatentMoments, decode_latents, encode_frames


@pytest.fixture
def frames():
    return torch.rand((3, 32, 48, 3), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_encoding_is_the_vaes_scaled_and_frame_by_frame(sd1, frames):
    moments = encode_frames(sd1.vae, frames)
    assert moments.mean.shape == moments.std.shape == (1, 4, 3, 4, 6)
    for index, frame in enumerate(frames):
        posterior = sd1.vae.encode(frame.permute(2, 0, 1)[None] * 2 - 1).latent_dist
        assert torch.equal(moments.mean[:, :, index], posterior.mean * 0.18215)
        assert torch.equal(moments.std[:, :, index], posterior.std * 0.18215)


def test_samples_are_drawn_from_the_moments_and_repeat_with_the_seed(sd1, frames):
    moments = encode_frames(sd1.vae, frames)
    first = moments.sample(torch.Generator().manual_seed(5))
    noise = torch.randn(moments.mean.shape, generator=torch.Generator().manual_seed(5))
    assert torch.equal(first, moments.mean + moments.std * noise)
    assert torch.equal(first, moments.sample(torch.Generator().manual_seed(5)))
    assert not torch.equal(first, moments.sample(torch.Generator().manual_seed(6)))
    exact = LatentMoments(mean=moments.mean, std=torch.zeros_like(moments.std))
    assert torch.equal(exact.sample(torch.Generator()), moments.mean)


@torch.no_grad()
def test_decoding_is_the_vaes_unscaled_and_clamped(sd1):
    latents = torch.randn((2, 4, 3, 4, 6), generator=torch.Generator().manual_seed(2))
    decoded = decode_latents(sd1.vae, latents)
    assert decoded.shape == (2, 3, 32, 48, 3)
    for video in range(2):
        for index in range(3):
            image = sd1.vae.decode(latents[video : video + 1, :, index] / 0.18215).sample
            assert torch.equal(decoded[video, index], (image[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0))
    assert decoded.min() >= 0 and decoded.max() <= 1 and decoded.unique().numel() > 1000


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_vae_computes_in_full_where_its_config_says_so(sd1, frames, dtype):
    half = copy.deepcopy(sd1.vae).to(dtype)
    full = copy.deepcopy(half).float()
    moments = encode_frames(half, frames)
    assert half.config.force_upcast
    assert torch.equal(moments.mean, encode_frames(full, frames).mean)
    assert torch.equal(decode_latents(half, moments.mean), decode_latents(full, moments.mean))
    assert half.dtype == dtype

    half.register_to_config(force_upcast=False)
    coarse = encode_frames(half, frames)
    assert coarse.mean.dtype == torch.float32
    assert not torch.equal(coarse.mean, moments.mean)


def test_inputs_are_left_as_they_were_and_take_no_gradients(sd1, frames):
    before, latents = frames.clone(), torch.ones(1, 4, 2, 4, 4)
    assert not encode_frames(sd1.vae, frames).mean.requires_grad
    decode_latents(sd1.vae, latents)
    assert torch.equal(frames, before)
    assert torch.equal(latents, torch.ones(1, 4, 2, 4, 4))


@pytest.mark.parametrize(
    "bad, message",
    [
        (torch.zeros(3, 16, 20, 3), r"20x16 pixels.*multiples of 8"),
        (torch.zeros(3, 3, 16, 16), r"f h w 3"),
        (torch.zeros(16, 16, 3), r"f h w 3"),
        (torch.zeros(3, 16, 16, 4), r"drop an alpha channel"),
        (torch.zeros(3, 16, 16, 3, dtype=torch.uint8), r"divide bytes by 255"),
        (torch.zeros(0, 16, 16, 3), r"f h w 3"),
    ],
)
def test_frames_that_do_not_fit_are_refused(sd1, bad, message):
    with pytest.raises(ClipError, match=message):
        encode_frames(sd1.vae, bad)


def test_latents_that_do_not_fit_are_refused(sd1):
    with pytest.raises(LatentsError, match="b c f h w"):
        decode_latents(sd1.vae, torch.zeros(4, 3, 8, 8))
    with pytest.raises(LatentsError, match="4 channels"):
        decode_latents(sd1.vae, torch.zeros(1, 3, 4, 8, 8))
