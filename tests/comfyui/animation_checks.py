"""What a start from an animation does on the ComfyUI host, measured inside a ComfyUI process as host_checks.py does.

Usage: COMFYUI_PATH=... python animation_checks.py
"""

from __future__ import annotations

from typing import Any

from host_checks import CHECKPOINT, DEMO, EDITED, EMPTY, TARGET, core_demo, far, refusal, report, scaled

# After host_checks, which sets ComfyUI up.
import comfy.samplers  # isort: skip
import torch  # isort: skip
from tune_a_video_pack.nodes.sampling.animation_start import AnimationStart  # isort: skip
from tune_a_video_pack.nodes.sampling.cross_frame_model import CrossFrameModel  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.nodes.sampling.stretch_inversion import StretchInversion  # isort: skip
from tune_a_video_pack.nodes.video.animate import Animate  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip
from tune_a_video_pack.tav_core.models.unet import InflatedUNet  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import AnimationConfig, EditConfig  # isort: skip
from tune_a_video_pack.tav_core.sampling.from_animation import edit_animation  # isort: skip
from tune_a_video_pack.tav_core.sampling.stretch import stretch  # isort: skip
from tune_a_video_pack.tav_core.video.animate import animate  # isort: skip
from tune_a_video_pack.tav_core.video.config import AnimateConfig, CameraConfig  # isort: skip

NUM_FRAMES, NUM_STEPS, SEED, CFG = 4, 8, 5, 4.0
START = AnimationConfig(begin="noised", strength=0.75, hold=0.5)
EDIT = {"num_steps": NUM_STEPS, "cfg": CFG, "eta": 0.0, "edit_seed": 1}
PATH = "[[0.3, 0.6], [0.7, 0.5]]"
MOVES = {"num_frames": NUM_FRAMES, "still": True, "scale": 1.0, "pan_x": 0.1, "pan_y": 0.0, "zoom": 1.1, "turn": 2.0}
LOOKS = {"begin": "object", "margin": 3, "feather": 1, "own_scale": 1.0, "follows": False}
FRAMES, MASK = core_demo.load_demo_clip().frames, core_demo.load_demo_mask()
MODEL = CrossFrameModel.execute(DEMO.model, "sparse_causal")[0]


def check_animate() -> dict[str, bool | str]:
    """The node against the library, and what it says of a picture whose mask was not painted."""
    made = Animate.execute(FRAMES, PATH, **MOVES, **LOOKS, mask=MASK)
    config = AnimateConfig(num_frames=NUM_FRAMES, still=True)
    camera = CameraConfig(pan_x=0.1, zoom=1.1, turn=2.0)
    expected = animate(FRAMES, MASK, [(0.3, 0.6), (0.7, 0.5)], config=config, camera=camera)
    return {
        "frames": bool(torch.equal(made[0], expected.frames)),
        "mask": bool(torch.equal(made[1], expected.mask)),
        "shows": len(made.ui["tav_picture"]) == 1,
        "unpainted": refusal(lambda: Animate.execute(FRAMES[:1], PATH, **MOVES, **LOOKS, mask=torch.zeros(1, 64, 64))),
        "one_point": refusal(lambda: Animate.execute(FRAMES, "[[0.3, 0.6]]", **MOVES, **LOOKS, mask=MASK)),
    }


def check_start() -> dict[str, float | str]:
    """Sample Edit and a stock sampler from an animation, against the diffusers host."""
    made = animate(FRAMES, MASK, [(0.3, 0.6), (0.7, 0.5)], config=AnimateConfig(num_frames=NUM_FRAMES, still=True))
    samples = DEMO.vae.encode(made.frames)
    given = {"num_steps": NUM_STEPS, "strength": START.strength, "hold": START.hold, "start_seed": SEED}
    held, begun, sigmas = AnimationStart.execute(MODEL, {"samples": samples}, **given, mask=made.mask).args
    host = UNetDenoiser(
        unet=InflatedUNet.from_2d(CHECKPOINT.unet, temporal=False, group_norm="frame"), schedule=CHECKPOINT.schedule
    )
    prompts = [encode_prompt(CHECKPOINT, text) for text in (EDITED, "")]
    how = {"config": EditConfig(num_steps=NUM_STEPS, guidance_scale=CFG, seed=SEED), "start": START}
    expected = edit_animation(host, scaled(samples), *prompts, mask=made.mask, **how)
    ours = SampleEdit.execute(held, TARGET, EMPTY, begun, **EDIT)[0]["samples"]
    free = SampleEdit.execute(MODEL, TARGET, EMPTY, begun, **EDIT)[0]["samples"]
    stock = go_on(held, begun, sigmas)
    later = {**EDIT, "num_steps": NUM_STEPS + 1}
    fewer = {**begun, "samples": begun["samples"][:2]}
    return {
        "edit": far(scaled(ours), expected),
        "stock": far(scaled(stock) * CHECKPOINT.schedule.final_alpha**0.5, expected),
        "held_differs": far(free, ours),
        "steps": len(sigmas) - 1,
        "other_steps": refusal(lambda: SampleEdit.execute(held, TARGET, EMPTY, begun, **later)),
        "other_latent": refusal(lambda: SampleEdit.execute(held, TARGET, EMPTY, fewer, **EDIT)),
        "plain_model": refusal(lambda: AnimationStart.execute(DEMO.model, {"samples": samples}, **given)),
        "one_frame": refusal(lambda: AnimationStart.execute(MODEL, {"samples": samples[:1]}, **given)),
        "unchanged": bool(torch.equal(SampleEdit.execute(MODEL, TARGET, EMPTY, begun, **EDIT)[0]["samples"], free)),
    }


def go_on(model, latent, sigmas) -> torch.Tensor:
    """The stock sampler on a noisy latent, without adding noise."""
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(TARGET, EMPTY)
    guider.set_cfg(CFG)
    samples = latent["samples"]
    return guider.sample(torch.zeros_like(samples), samples, comfy.samplers.sampler_object("euler"), sigmas)


def check_stretch() -> dict[str, Any]:
    """An inversion at half the speed: the library's, and the LATENT is the trajectory's noise."""
    latent = {"samples": DEMO.vae.encode(FRAMES)}
    inverted, trajectory, *_ = DDIMInvert.execute(MODEL, EMPTY, latent, NUM_STEPS).args
    slow, path, unconnected = StretchInversion.execute(inverted, trajectory, 0.5).args
    nearest = StretchInversion.execute(inverted, trajectory, 0.5, FRAMES)[2]
    edited = SampleEdit.execute(MODEL, TARGET, EMPTY, slow, **EDIT, trajectory=path)[0]["samples"]
    fewer = {"samples": inverted["samples"][:3]}
    return {
        "frames": len(edited),
        "library": far(path.latents, stretch(trajectory, 0.5).latents),
        "noise": far(scaled(slow["samples"]), path.noise),
        "fewer": refusal(lambda: StretchInversion.execute(fewer, trajectory, 0.5)),
        "nearest": bool(torch.equal(nearest, FRAMES[[0, *(number for number in range(1, 8) for _ in range(2))]])),
        "blocked": unconnected.message,
        "other_frames": refusal(lambda: StretchInversion.execute(inverted, trajectory, 0.5, FRAMES[:3])),
    }


if __name__ == "__main__":
    report({"animate": check_animate, "start": check_start, "stretch": check_stretch})
