"""What Text2Video-Zero does on the ComfyUI host, measured inside a ComfyUI process as host_checks.py does; prints JSON.

Usage: COMFYUI_PATH=... python zero_shot_checks.py
"""

from __future__ import annotations

from host_checks import (
    CHECKPOINT,
    DEMO,
    EDITED,
    EMPTY,
    TARGET,
    core_demo,
    far,
    make_controlnet,
    make_motion,
    refusal,
    report,
    scaled,
    with_control,
)

# After host_checks, which sets ComfyUI up.
import comfy.model_base  # isort: skip
import comfy.samplers  # isort: skip
import comfy.supported_models  # isort: skip
import torch  # isort: skip
from comfy_extras.nodes_custom_sampler import DualCFGGuider  # isort: skip
from comfy_extras.nodes_ip2p import InstructPixToPixConditioning  # isort: skip
from diffusers import UNet2DConditionModel  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.core.patchers import core_patcher  # isort: skip
from tune_a_video_pack.nodes.sampling.cross_frame_model import CrossFrameModel  # isort: skip
from tune_a_video_pack.nodes.sampling.motion_field import MotionField  # isort: skip
from tune_a_video_pack.nodes.sampling.smooth_background import SmoothBackground  # isort: skip
from tune_a_video_pack.nodes.sampling.zero_shot_start import ZeroShotStart  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.denoisers.instruct import InstructDenoiser  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip
from tune_a_video_pack.tav_core.models.unet import InflatedUNet  # isort: skip
from tune_a_video_pack.tav_core.sampling.zero_shot.config import ZeroShotConfig  # isort: skip
from tune_a_video_pack.tav_core.sampling.zero_shot.generate import generate  # isort: skip
from tune_a_video_pack.tav_core.sampling.zero_shot.instruct import encode_pictures  # isort: skip

NUM_FRAMES, SIDE, NUM_STEPS, SEED, CFG = 4, 12, 8, 5, 4.0
MOMENTS = {"t0": 0.5, "t1": 0.7}
SPACE = {"samples": torch.zeros(NUM_FRAMES, 4, SIDE, SIDE)}
MASK = torch.zeros(NUM_FRAMES, 8 * SIDE, 8 * SIDE)
MASK[:, 24:64, 24:64] = 1
MODEL = CrossFrameModel.execute(DEMO.model, "first")[0]
FIELD = MotionField.execute(8.0, -4.0, 1.0, 2.0, "0, 0\n16 8")[0]


def start(field, model=MODEL) -> tuple[dict, torch.Tensor]:
    return ZeroShotStart.execute(model, TARGET, EMPTY, SPACE, SEED, NUM_STEPS, CFG, **MOMENTS, motion_field=field).args


def go_on(latent: dict, sigmas: torch.Tensor, model=MODEL, prompts=(TARGET, EMPTY)) -> torch.Tensor:
    """The stock sampler on a noisy latent, without adding noise."""
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(*prompts)
    guider.set_cfg(CFG)
    samples = latent["samples"]
    return guider.sample(torch.zeros_like(samples), samples, comfy.samplers.sampler_object("euler"), sigmas)


def as_latents(samples: torch.Tensor) -> torch.Tensor:
    """A stock sampler's result as the library's, whose x is 4 in 10,000 smaller: DDIM ends at timestep 0."""
    return scaled(samples) * CHECKPOINT.schedule.final_alpha**0.5


def expect(field, **more) -> torch.Tensor:
    """The same on the diffusers host."""
    unet = InflatedUNet.from_2d(CHECKPOINT.unet, attention="first", temporal=False)
    size = {"num_frames": NUM_FRAMES, "width": 8 * SIDE, "height": 8 * SIDE}
    config = ZeroShotConfig(**size, num_steps=NUM_STEPS, seed=SEED, guidance_scale=CFG, **MOMENTS)
    prompts = (encode_prompt(CHECKPOINT, text) for text in (EDITED, ""))
    host = UNetDenoiser(unet=unet, schedule=CHECKPOINT.schedule)
    return generate(host, *prompts, config=config, motion=field, **more)


def check_hosts() -> dict[str, float]:
    """Videos of both hosts: with a motion field, without one, and smoothed."""
    smoothed, sigmas = start(FIELD)
    smoothed = SmoothBackground.execute(smoothed, MASK, 0.4, FIELD)[0]
    return {
        "moved": far(as_latents(go_on(*start(FIELD))), expect(FIELD)),
        "still": far(as_latents(go_on(*start(None))), expect(None)),
        "smoothed": far(as_latents(go_on(smoothed, sigmas)), expect(FIELD, foreground=MASK)),
    }


def check_model() -> dict[str, bool]:
    """Frames see the first one, a motion is not needed, and the MODEL that came in is not changed."""
    noise = {"samples": torch.randn(2, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 10}
    other = {"samples": noise["samples"].clone()}
    other["samples"][0] += 1.0
    sigmas = torch.tensor([10.0, 1.0])
    changed = lambda model: bool((go_on(noise, sigmas, model)[1] != go_on(other, sigmas, model)[1]).any())  # noqa: E731
    spatial = CrossFrameModel.execute(DEMO.model, "spatial")[0]
    plain = go_on(noise, sigmas, DEMO.model)
    return {
        "sees_the_first_frame": changed(MODEL),
        "spatial_does_not": not changed(spatial),
        "spatial_is_the_plain_model": far(go_on(noise, sigmas, spatial), plain) < 1e-5,
        "unchanged": bool(torch.equal(go_on(noise, sigmas, DEMO.model), plain)),
    }


def check_control() -> dict[str, float]:
    """A ControlNet leads both halves, and each frame has its own hint."""
    net, moved = make_controlnet(), torch.rand(NUM_FRAMES, 8 * SIDE, 8 * SIDE, 3)
    changed = moved.clone()
    changed[2] = 1 - changed[2]

    def video(hint: torch.Tensor) -> torch.Tensor:
        prompts = [with_control(one, net, hint) for one in (TARGET, EMPTY)]
        begun = ZeroShotStart.execute(MODEL, *prompts, SPACE, SEED, NUM_STEPS, CFG, **MOMENTS, motion_field=None).args
        return go_on(*begun, prompts=prompts)

    plain, other = video(moved), video(changed)
    return {
        "led": far(plain, go_on(*start(None))),
        "own_hint": far(other[2], plain[2]),
        "others": far(other[1], plain[1]),
    }


def make_pix2pix():
    """core's InstructPix2Pix at the demo's size: the demo's weights, and random ones for the picture's channels."""
    config = comfy.supported_models.SD15_instructpix2pix({**core_demo.UNET_CONFIG, "in_channels": 8})
    config.latent_format = DEMO.model.model.latent_format
    config.set_inference_dtype(torch.float32, None)
    model = comfy.model_base.SD15_instructpix2pix(config)
    weights = dict(DEMO.model.model.diffusion_model.state_dict())
    first = weights["input_blocks.0.0.weight"]
    generator = torch.Generator().manual_seed(3)
    weights["input_blocks.0.0.weight"] = torch.cat([first, 0.1 * torch.randn(first.shape, generator=generator)], 1)
    model.diffusion_model.load_state_dict(weights)
    device = torch.device("cpu")
    return core_patcher()(model, load_device=device, offload_device=device)


def check_pix2pix() -> dict[str, float | bool]:
    """Core's own nodes for InstructPix2Pix on Cross-Frame Model, in one step, against the library."""
    timestep, plain, pictures = 600, make_pix2pix(), torch.rand(NUM_FRAMES, 8 * SIDE, 8 * SIDE, 3)
    positive, negative, space = InstructPixToPixConditioning.execute(TARGET, EMPTY, pictures, DEMO.vae).args
    model = CrossFrameModel.execute(plain, "first")[0]
    guider = DualCFGGuider.execute(model, positive, negative, EMPTY, 7.5, 1.5, "regular")[0]
    alpha = CHECKPOINT.schedule.alpha(timestep)
    sigma = float((1 - alpha) / alpha) ** 0.5
    sigmas, euler = torch.tensor([sigma, 0.0]), comfy.samplers.sampler_object("euler")

    def denoised(noise: torch.Tensor) -> torch.Tensor:
        return guider.sample(noise, space["samples"], euler, sigmas)

    noise = torch.randn(space["samples"].shape, generator=torch.Generator().manual_seed(4))
    other = noise.clone()
    other[0] += 1.0
    return {
        "sees_the_first_frame": far(denoised(other)[1], denoised(noise)[1]),
        "hosts": far(scaled(denoised(noise)), expect_pix2pix(plain, pictures, sigma * noise, sigma, timestep)),
    }


def expect_pix2pix(plain, pictures: torch.Tensor, noisy: torch.Tensor, sigma: float, timestep: int) -> torch.Tensor:
    """What the library predicts to be clean, on the same weights."""
    unet = UNet2DConditionModel.from_config({**CHECKPOINT.unet.config, "in_channels": 8})
    first = {"conv_in.weight": plain.model.diffusion_model.input_blocks[0][0].weight.detach().float()}
    unet.load_state_dict({**CHECKPOINT.unet.state_dict(), **first})
    inflated = InflatedUNet.from_2d(unet.eval(), attention="first", temporal=False)
    told = InstructDenoiser(
        denoiser=UNetDenoiser(unet=inflated, schedule=CHECKPOINT.schedule),
        pictures=encode_pictures(CHECKPOINT.vae, pictures),
        negative=encode_prompt(CHECKPOINT, ""),
        guidance_scale=7.5,
        image_guidance_scale=1.5,
    )
    latents = noisy.movedim(0, 1)[None]
    with torch.no_grad():
        epsilon = told.epsilon(latents / (1 + sigma**2) ** 0.5, timestep, encode_prompt(CHECKPOINT, EDITED))
    return latents - sigma * epsilon


def check_refusals() -> dict[str, str]:
    """What is said of graphs that make no sense."""
    tuned = core_motion.apply_motion(DEMO.model, make_motion(1))
    return {
        "plain": refusal(lambda: start(FIELD, DEMO.model)),
        "twice": refusal(lambda: CrossFrameModel.execute(MODEL, "first")),
        "tuned": refusal(lambda: CrossFrameModel.execute(tuned, "first")),
        "motion": refusal(lambda: core_motion.apply_motion(MODEL, make_motion(1))),
        "path": refusal(lambda: MotionField.execute(0.0, 0.0, 1.0, 0.0, "1; 2")),
        "masks": refusal(lambda: SmoothBackground.execute(SPACE, MASK[:3], 0.4)),
    }


if __name__ == "__main__":
    checks = {"hosts": check_hosts, "model": check_model, "control": check_control, "pix2pix": check_pix2pix}
    report({**checks, "refusals": check_refusals})
