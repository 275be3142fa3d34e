"""Controls of Stable Diffusion XL: nets that are told what the UNet is, and adapters of another layout."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import ControlNetModel, DDIMScheduler, StableDiffusionXLAdapterPipeline, T2IAdapter

from tav_core.checkpoints.load import load_checkpoint
from tav_core.denoisers.config import ControlConfig
from tav_core.denoisers.control import Control, add_controls
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.errors import CheckpointError, LatentsError
from tav_core.models.conditioning import Conditioning
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.text import encode_prompt
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tests.tav_core.conftest import POOLED
from tests.tav_core.denoisers.test_control import NUM_FRAMES, control_frames, noise_up

XL = {"adapter_type": "full_adapter_xl", "downscale_factor": 16}


@pytest.fixture
def adapter(sdxl):
    widths = list(sdxl.unet.config.block_out_channels)
    return noise_up(T2IAdapter(channels=[*widths, widths[-1]], **XL), 2)


@pytest.fixture
def apart(sdxl):
    """A denoiser whose frames know nothing of each other: the 2-D model."""
    unet = InflatedUNet.from_2d(sdxl.unet, attention="spatial", group_norm="frame")
    return UNetDenoiser(unet=unet, schedule=NoiseSchedule.from_config(sdxl.scheduler))


def told(videos=2):
    sizes = torch.tensor([[64, 64, 0, 0, 64, 64], [1024, 1024, 0, 5, 1024, 1024]])[:videos]
    return Conditioning(text=torch.randn(videos, 7, 128), pooled_text=torch.randn(videos, POOLED), size_ids=sizes)


def add(denoiser, net, frames, **config):
    return add_controls(denoiser, [Control(net=net, frames=frames, config=ControlConfig(**config))])


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (7, 9)])
@torch.no_grad()
def test_each_frame_is_the_stock_model_with_the_stock_adapter(sdxl, apart, adapter, size, close):
    """An adapter makes one value of 16x16 pixels: of an odd number of latents, the last pixels count twice."""
    latents, context = torch.randn(2, 4, NUM_FRAMES, *size), told()
    frames = control_frames(height=8 * size[0], width=8 * size[1])
    added = {"added_cond_kwargs": {"text_embeds": context.pooled_text, "time_ids": context.size_ids}}
    outputs = []
    for index in range(NUM_FRAMES):
        hint = frames[index].permute(2, 0, 1)[None].expand(2, -1, -1, -1)
        hint = torch.cat([hint, *[hint[:, :, -1:]] * (hint.shape[2] % 16)], dim=2)
        hint = torch.cat([hint, *[hint[..., -1:]] * (hint.shape[3] % 16)], dim=3)
        features = {"down_intrablock_additional_residuals": [0.7 * x for x in adapter(hint)]}
        outputs.append(sdxl.unet(latents[:, :, index], 481, context.text, **features, **added).sample)
    controlled = add(apart, adapter, frames, scale=0.7)
    close(controlled.predict(latents, 481, context), torch.stack(outputs, dim=2), 1e-5)
    assert (controlled.predict(latents, 481, context) - apart.predict(latents, 481, context)).abs().max() > 1e-2


def test_frames_come_out_as_diffusers_pipeline_makes_pictures(sdxl, adapter, write_folder, tmp_path, close):
    """Two steps with guidance, an adapter for the first of them alone, and one text: picture after picture."""
    model = load_checkpoint(write_folder(sdxl, tmp_path / "model"))
    scheduler = DDIMScheduler.from_config({**sdxl.scheduler, "clip_sample": False, "timestep_spacing": "leading"})
    pipeline = StableDiffusionXLAdapterPipeline(
        vae=model.vae,
        text_encoder=model.text_encoder,
        text_encoder_2=model.text_encoder_2,
        tokenizer=model.tokenizer,
        tokenizer_2=model.tokenizer_2,
        unet=model.unet,
        adapter=adapter,
        scheduler=scheduler,
    )
    pipeline.set_progress_bar_config(disable=True)
    latents, frames = torch.randn(1, 4, 2, 8, 8), control_frames(2)
    settings = {"num_inference_steps": 2, "guidance_scale": 3.0, "output_type": "latent", "height": 64, "width": 64}
    control = {"adapter_conditioning_scale": 0.7, "adapter_conditioning_factor": 0.5}
    pictures = [
        pipeline(
            "a cat", negative_prompt="", image=frame.permute(2, 0, 1)[None], latents=start, **settings, **control
        ).images
        for frame, start in zip(frames, latents.unbind(2), strict=True)
    ]
    unet = InflatedUNet.from_2d(model.unet, attention="spatial", group_norm="frame")
    controlled = add(UNetDenoiser(unet=unet, schedule=model.schedule), adapter, frames, scale=0.7, end=0.5)
    config = EditConfig(num_steps=2, guidance_scale=3.0)
    prompt, empty = (encode_prompt(model, text) for text in ("a cat", ""))
    close(edit(controlled, latents, prompt, empty, config=config), torch.stack(pictures, dim=2), 1e-4)


@torch.no_grad()
def test_windows_take_the_features_of_their_own_frames(apart, adapter, close):
    latents, frames, context = torch.randn(1, 4, 7, 8, 8), control_frames(7), told(1)
    controlled = add(apart, adapter, frames)
    windowed = WindowedDenoiser(denoiser=controlled, windows=ContextWindows(length=4, overlap=1))
    close(windowed.epsilon(latents, 481, context), controlled.epsilon(latents, 481, context), 1e-5)


def test_frames_of_another_size_are_refused(apart, adapter):
    """64 and 56 pixels give features of the same size, but are not the same clip."""
    controlled = add(apart, adapter, control_frames(height=56))
    with pytest.raises(LatentsError, match="control of 4 frames of 64x56 for 4 frames of 64x64"):
        controlled.epsilon(torch.randn(1, 4, NUM_FRAMES, 8, 8), 481, told(1))


def test_adapters_and_models_of_other_families_are_not_mixed(sdxl, sd1, apart, adapter):
    widths = list(sdxl.unet.config.block_out_channels)
    of_1x = T2IAdapter(channels=widths)
    with pytest.raises(CheckpointError, match=r"T2I-Adapter for another model.*\(32, 8, 8\).*Expected \[\(32, 4, 4\)"):
        add(apart, of_1x, control_frames())
    model = UNetDenoiser(unet=InflatedUNet.from_2d(sd1.unet), schedule=NoiseSchedule.from_config(sd1.scheduler))
    widths = list(sd1.unet.config.block_out_channels)
    for of_xl in (adapter, T2IAdapter(channels=[*widths, widths[-1]], **XL)):
        with pytest.raises(CheckpointError, match=r"T2I-Adapter for another model.*1\.x or XL"):
            add(model, of_xl, control_frames())


@torch.no_grad()
def test_a_net_of_sdxl_is_told_what_the_unet_is(sdxl, close):
    """Two videos in a batch, each with a text, a pooled text and sizes of its own."""
    net = noise_up(ControlNetModel.from_unet(sdxl.unet, conditioning_embedding_out_channels=(4, 8, 8, 8)), 1)
    unet = InflatedUNet.from_2d(sdxl.unet, attention="spatial", group_norm="frame")
    apart = UNetDenoiser(unet=unet, schedule=NoiseSchedule.from_config(sdxl.scheduler))
    frames, latents = control_frames(), torch.randn(2, 4, NUM_FRAMES, 8, 8)
    sizes = torch.tensor([[64, 64, 0, 0, 64, 64], [1024, 1024, 0, 5, 1024, 1024]])
    told = Conditioning(text=torch.randn(2, 7, 128), pooled_text=torch.randn(2, POOLED), size_ids=sizes)
    controlled = add_controls(apart, [Control(net=net, frames=frames, config=ControlConfig(scale=0.7))])
    added = {"added_cond_kwargs": {"text_embeds": told.pooled_text, "time_ids": told.size_ids}}
    outputs = []
    for index in range(NUM_FRAMES):
        hint = frames[index].permute(2, 0, 1)[None].expand(2, -1, -1, -1)
        down, middle = net(
            latents[:, :, index], 481, told.text, hint, conditioning_scale=0.7, return_dict=False, **added
        )
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        outputs.append(sdxl.unet(latents[:, :, index], 481, told.text, **residuals, **added).sample)
    close(controlled.predict(latents, 481, told), torch.stack(outputs, dim=2), 1e-5)
    # Sizes that are not given are the same for both.
    plain = dataclasses.replace(told, size_ids=None)
    given = dataclasses.replace(told, size_ids=sizes[:1].expand(2, -1))
    assert torch.equal(controlled.predict(latents, 481, plain), controlled.predict(latents, 481, given))


def test_nets_and_models_of_sdxl_and_2x_are_not_mixed(sdxl, sd2):
    for ours, theirs in ((sdxl, sd2), (sd2, sdxl)):
        net = ControlNetModel.from_unet(theirs.unet)
        model = UNetDenoiser(unet=InflatedUNet.from_2d(ours.unet), schedule=NoiseSchedule.from_config(ours.scheduler))
        with pytest.raises(CheckpointError, match=r"a ControlNet for another model.*XL of 2048"):
            add_controls(model, [Control(net=net, frames=control_frames())])
