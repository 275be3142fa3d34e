"""What Text2Video-Zero does on the ComfyUI host, measured inside a ComfyUI process as host_checks.py does; prints JSON.

Usage: COMFYUI_PATH=... python zero_shot_checks.py
"""

from __future__ import annotations

from host_checks import CHECKPOINT, DEMO, EDITED, EMPTY, TARGET, far, make_motion, refusal, report, scaled

# After host_checks, which sets ComfyUI up.
import comfy.samplers  # isort: skip
import torch  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.sampling.cross_frame_model import CrossFrameModel  # isort: skip
from tune_a_video_pack.nodes.sampling.motion_field import MotionField  # isort: skip
from tune_a_video_pack.nodes.sampling.smooth_background import SmoothBackground  # isort: skip
from tune_a_video_pack.nodes.sampling.zero_shot_start import ZeroShotStart  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip
from tune_a_video_pack.tav_core.models.unet import InflatedUNet  # isort: skip
from tune_a_video_pack.tav_core.sampling.zero_shot.config import ZeroShotConfig  # isort: skip
from tune_a_video_pack.tav_core.sampling.zero_shot.generate import generate  # isort: skip

NUM_FRAMES, SIDE, NUM_STEPS, SEED, CFG = 4, 12, 8, 5, 4.0
MOMENTS = {"t0": 0.5, "t1": 0.7}
SPACE = {"samples": torch.zeros(NUM_FRAMES, 4, SIDE, SIDE)}
MASK = torch.zeros(NUM_FRAMES, 8 * SIDE, 8 * SIDE)
MASK[:, 24:64, 24:64] = 1
MODEL = CrossFrameModel.execute(DEMO.model, "first")[0]
FIELD = MotionField.execute(8.0, -4.0, 1.0, 2.0, "0, 0\n16 8")[0]


def start(field, model=MODEL) -> tuple[dict, torch.Tensor]:
    return ZeroShotStart.execute(model, TARGET, EMPTY, SPACE, SEED, NUM_STEPS, CFG, **MOMENTS, motion_field=field).args


def go_on(latent: dict, sigmas: torch.Tensor, model=MODEL) -> torch.Tensor:
    """The stock sampler on a noisy latent, without adding noise."""
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(TARGET, EMPTY)
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
    report({"hosts": check_hosts, "model": check_model, "refusals": check_refusals})
