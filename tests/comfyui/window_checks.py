"""What context windows do on the ComfyUI host, measured inside a ComfyUI process as host_checks.py does; prints JSON.

Usage: COMFYUI_PATH=... python window_checks.py
"""

from __future__ import annotations

import json

from host_checks import (
    CHECKPOINT,
    DEMO,
    EDITED,
    EMPTY,
    NUM_STEPS,
    SIDE,
    TARGET,
    core_demo,
    far,
    make_controlnet,
    make_motion,
    refusal,
    scaled,
)

# After host_checks, which sets ComfyUI up.
import comfy.patcher_extension  # isort: skip
import comfy.sample  # isort: skip
import comfy.samplers  # isort: skip
import torch  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.sampling.context_windows import ContextWindows  # isort: skip
from tune_a_video_pack.nodes.sampling.free_noise import FreeNoise  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.tav_core.denoisers import windows as core  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.sampling.edit import edit  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import EditConfig  # isort: skip
from tune_a_video_pack.tav_core.sampling.free_noise import free_noise  # isort: skip
from tune_a_video_pack.tav_core.sampling.invert import invert  # isort: skip
from tune_a_video_pack.tav_core.models.latents import encode_frames  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip
from tune_a_video_pack.tav_core.video.clip import read_clip  # isort: skip

LENGTH, OVERLAP, LONG = 4, 1, 8
SETTINGS = core.ContextWindows(length=LENGTH, overlap=OVERLAP)


def check_windows() -> dict[str, float | bool | int]:
    """A clip longer than a window: our nodes and stock DDIM with guidance against the diffusers host, which computes in
    float64, so that the figures are the nodes' own rounding; and a clip that fits."""
    frames = read_clip(core_demo.CLIP, num_frames=LONG, width=96, height=96).frames
    motion, samples = make_motion(1), DEMO.vae.encode(frames)
    latent = {"samples": samples}
    tuned = core_motion.apply_motion(DEMO.model, motion)
    windowed = ContextWindows.execute(tuned, LENGTH, OVERLAP)[0]
    inner = UNetDenoiser(unet=motion.apply_to(CHECKPOINT.unet).double(), schedule=CHECKPOINT.schedule)
    host = core.WindowedDenoiser(denoiser=inner, windows=SETTINGS)
    empty, target = (encode_prompt(CHECKPOINT, text).to(dtype=torch.float64) for text in ("", EDITED))
    expected = invert(host, encode_frames(CHECKPOINT.vae, frames).mean.double(), empty, num_steps=NUM_STEPS)
    rendered = edit(host, expected, target, empty, config=EditConfig(num_steps=NUM_STEPS, guidance_scale=4.0))
    batches = watch_batches(windowed)
    inverted, trajectory, noise, sigmas = DDIMInvert.execute(windowed, EMPTY, latent, NUM_STEPS).args
    given = {"num_steps": NUM_STEPS, "cfg": 4.0, "eta": 0.0, "edit_seed": 1}
    ours = SampleEdit.execute(windowed, TARGET, EMPTY, inverted, **given)[0]["samples"]
    whole = SampleEdit.execute(tuned, TARGET, EMPTY, inverted, **given)[0]["samples"]
    sampler = comfy.samplers.sampler_object("ddim")
    args = (4.0, sampler, sigmas, TARGET, EMPTY, samples)
    stock = comfy.sample.sample_custom(windowed, noise.generate_noise(latent), *args, disable_pbar=True, seed=1)
    fits = ContextWindows.execute(ContextWindows.execute(tuned, LENGTH, OVERLAP)[0], LONG, OVERLAP)[0]
    return {
        "trajectory": far(trajectory.latents, expected.latents),
        "edit": far(scaled(ours), rendered),
        "stock_ddim": far(stock, ours),
        "from_whole": far(ours, whole),
        "largest_batch": max(batches),
        "fits_equal": torch.equal(SampleEdit.execute(fits, TARGET, EMPTY, inverted, **given)[0]["samples"], whole),
        "inverts_equal": torch.equal(
            DDIMInvert.execute(fits, EMPTY, latent, NUM_STEPS)[0]["samples"],
            DDIMInvert.execute(tuned, EMPTY, latent, NUM_STEPS)[0]["samples"],
        ),
        "without_motion": refusal(lambda: ContextWindows.execute(DEMO.model, LENGTH, OVERLAP)),
        **check_window_conditions(tuned, windowed),
        **check_free_noise(windowed, sigmas, host),
    }


def check_free_noise(windowed, sigmas, host) -> dict[str, float]:
    """A random start for windows: the node's noise under stock DDIM against the library's under its own DDIM."""
    noise = FreeNoise.execute(7, LENGTH, OVERLAP)[0]
    empty = {"samples": torch.zeros((LONG, 4, SIDE, SIDE))}
    drawn = noise.generate_noise(empty)
    start = free_noise((1, 4, LONG, SIDE, SIDE), 7, window=LENGTH, stride=OVERLAP)
    sampler = comfy.samplers.sampler_object("ddim")
    args = (4.0, sampler, sigmas, TARGET, EMPTY, empty["samples"])
    stock = comfy.sample.sample_custom(windowed, drawn, *args, disable_pbar=True, seed=noise.seed)
    config = EditConfig(num_steps=NUM_STEPS, guidance_scale=4.0)
    target, nothing = encode_prompt(CHECKPOINT, EDITED), encode_prompt(CHECKPOINT, "")
    # core starts from noise x sigma, at any number of steps: a little less than the noise itself.
    begun = start * (sigmas[0] / (1 + sigmas[0] ** 2) ** 0.5)
    rendered = edit(host, begun, target, nothing, config=config)
    return {
        "free_noise": far(drawn.movedim(0, 1)[None], start),
        "free_noise_rendered": far(scaled(stock), rendered),
    }


def watch_batches(model) -> list[int]:
    """Puts a watch on a MODEL: the images of each batch that its UNet will see."""
    seen = []

    def watch(executor, x, *args, **kwargs):
        seen.append(len(x))
        return executor(x, *args, **kwargs)

    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "watch", watch)
    return seen


def check_window_conditions(tuned, windowed) -> dict[str, float | int]:
    """One step with two ControlNets in a chain and a mask, each another for each frame, against the same step on the
    frames of each window alone: DDIM is linear in what the windows fuse."""
    start = torch.randn((LONG, 4, SIDE, SIDE), generator=torch.Generator().manual_seed(5))
    hint = torch.rand((LONG, 96, 96, 3), generator=torch.Generator().manual_seed(2))
    area = torch.rand((LONG, 96, 96), generator=torch.Generator().manual_seed(3))
    first, second = make_controlnet(), make_controlnet()
    second.set_previous_controlnet(first)

    def step(model, frames, rows) -> torch.Tensor:
        first.set_cond_hint(hint.flip(0)[rows].movedim(-1, 1), 1.0, (0.0, 1.0))
        second.set_cond_hint(hint[rows].movedim(-1, 1), 1.0, (0.0, 1.0))
        both = [
            [[text, {**extras, "control": second, "control_apply_to_uncond": True}] for text, extras in each]
            for each in (TARGET, EMPTY)
        ]
        both[0][0][1] |= {"mask": area[rows], "set_area_to_bounds": False, "mask_strength": 1.0}
        both[0] += TARGET
        given = {"num_steps": 1, "cfg": 4.0, "eta": 0.0, "edit_seed": 1}
        return SampleEdit.execute(model, *both, {"samples": start[frames]}, **given)[0]["samples"]

    timestep = CHECKPOINT.schedule.timesteps(1)[0]
    found = SETTINGS.at(LONG, timestep)
    fused = torch.zeros_like(start)
    for window, weights in zip(found, core.fused_weights(found, LONG), strict=True):
        frames = core.with_anchor(window)
        part = step(tuned, frames, frames)[-len(window) :]
        fused[window.start : window.stop] += part * torch.tensor(weights)[:, None, None, None]
    everything = list(range(LONG))
    got = step(windowed, everything, everything)
    turned = step(windowed, everything, everything[::-1])
    return {"conditions": far(got, fused), "conditions_count": far(turned, got), "windows": len(found)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode():
        print("RESULTS " + json.dumps(check_windows()))
