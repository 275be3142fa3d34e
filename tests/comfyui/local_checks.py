"""What local edits do on the ComfyUI host, measured inside a ComfyUI process as host_checks.py does; prints JSON.

Usage: COMFYUI_PATH=... python local_checks.py
"""

from __future__ import annotations

from dataclasses import replace

from host_checks import (
    CHECKPOINT,
    CLIP,
    DEMO,
    EDITED,
    EMPTY,
    LATENT,
    NUM_FRAMES,
    SAMPLES,
    TARGET,
    core_motion,
    encode,
    far,
    make_motion,
    refusal,
    report,
    scaled,
)

# After host_checks, which sets ComfyUI up.
import torch  # isort: skip
from comfy_extras.nodes_mask import ImageCompositeMasked  # isort: skip
import nodes  # isort: skip
from tune_a_video_pack.nodes.video.composite import CompositeEdit  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.denoisers.local_prompts import LocalPrompt  # isort: skip
from tune_a_video_pack.tav_core.sampling.edit import edit  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import EditConfig  # isort: skip
from tune_a_video_pack.tav_core.sampling.invert import invert  # isort: skip
from tune_a_video_pack.tav_core.models.latents import encode_frames  # isort: skip
from tune_a_video_pack.tav_core.sampling.local_edit import keep_outside  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip

STEPS = 4
WHOLE = {"first_frame": 0, "last_frame": -1, "ramp": 3}


def moving_mask() -> torch.Tensor:
    """A box that moves 8 pixels, which is a latent cell, a frame: `f h w`."""
    mask = torch.zeros(NUM_FRAMES, 96, 96)
    for frame in range(NUM_FRAMES):
        mask[frame, 32:64, 16 + 8 * frame : 48 + 8 * frame] = 1
    return mask


def check_sampling() -> dict[str, float | bool]:
    """A masked edit of our nodes against the diffusers host, and what is outside of it."""
    motion, mask = make_motion(1), moving_mask()
    tuned = core_motion.apply_motion(DEMO.model, motion)
    host = UNetDenoiser(unet=motion.apply_to(CHECKPOINT.unet), schedule=CHECKPOINT.schedule)
    empty, target = encode_prompt(CHECKPOINT, ""), encode_prompt(CHECKPOINT, EDITED)
    way = invert(host, encode_frames(CHECKPOINT.vae, CLIP).mean, empty, num_steps=STEPS)
    config = EditConfig(num_steps=STEPS, guidance_scale=4.0)
    by_host = lambda **soft: edit(  # noqa: E731
        host, way, target, empty, config=config, correct=keep_outside(way, mask, **soft)
    )
    inverted, trajectory, *_ = DDIMInvert.execute(tuned, EMPTY, LATENT, STEPS).args
    sample = lambda **more: SampleEdit.execute(  # noqa: E731
        tuned, TARGET, EMPTY, inverted, num_steps=STEPS, cfg=4.0, eta=0.0, edit_seed=1, trajectory=trajectory, **more
    )[0]["samples"]
    local, plain = sample(mask=mask), sample()
    added = replace(config, seed=1, resample=2)
    anew = edit(host, way, target, empty, config=added, correct=keep_outside(way, mask))
    # Two cells away from the mask, beyond its soft edge.
    outside = torch.nn.functional.max_pool2d(mask[:, None], 33, 1, 16)[..., ::8, ::8].expand(-1, 4, -1, -1) == 0
    small = {**LATENT, "samples": SAMPLES[..., :6]}
    return {
        "edit": far(scaled(local), by_host()),
        "wide_edit": far(scaled(sample(mask=mask, feather=24)), by_host(feather=24)),
        "wide_differs": far(by_host(feather=24), by_host()),
        "added": far(scaled(sample(mask=mask, resample=2)), anew),
        "added_differs": far(anew, by_host()),
        "outside": far(local[outside], SAMPLES[outside]),
        "plain_outside": far(plain[outside], SAMPLES[outside]),
        "inside_changes": float((local - SAMPLES).abs()[0, :, 4:8, 2:6].amin()),
        "ones_equal": torch.equal(sample(mask=torch.ones(1, 96, 96)), plain),
        "bare_equal": torch.equal(sample(mask=mask[0]), sample(mask=mask[:1])),
        "refused": {
            "trajectory": refusal(
                lambda: SampleEdit.execute(tuned, TARGET, EMPTY, inverted, STEPS, 4.0, 0.0, 1, None, mask)
            ),
            "other clip": refusal(
                lambda: SampleEdit.execute(tuned, TARGET, EMPTY, small, STEPS, 4.0, 0.0, 1, trajectory, mask)
            ),
            "resample alone": refusal(lambda: sample(resample=2)),
            "size": refusal(lambda: sample(mask=torch.ones(1, 64, 64))),
            "frames": refusal(lambda: sample(mask=mask[:3])),
        },
    }


def check_local_prompts() -> dict[str, float]:
    """Conditioning (Set Mask) with a mask per frame in Sample Edit, against local prompts on the diffusers host."""
    motion, mask, words = make_motion(1), moving_mask(), "a robot is walking in the snow"
    tuned = core_motion.apply_motion(DEMO.model, motion)
    host = UNetDenoiser(unet=motion.apply_to(CHECKPOINT.unet), schedule=CHECKPOINT.schedule)
    empty, target, told = (encode_prompt(CHECKPOINT, text) for text in ("", EDITED, words))
    way = invert(host, encode_frames(CHECKPOINT.vae, CLIP).mean, empty, num_steps=STEPS)
    config = EditConfig(num_steps=STEPS, guidance_scale=4.0)
    by_host, still, plain = (
        edit(host, way, target, empty, config=config, local=local)
        for local in (
            [LocalPrompt(context=told, mask=mask)],
            [LocalPrompt(context=told, mask=mask[:1])],
            [],
        )
    )
    inverted, trajectory, *_ = DDIMInvert.execute(tuned, EMPTY, LATENT, STEPS).args
    part = lambda conditioning, where: nodes.ConditioningSetMask().append(conditioning, where, "default", 1.0)[0]  # noqa: E731
    both = nodes.ConditioningCombine().combine(part(TARGET, 1 - mask), part(encode(words), mask))[0]
    ours = SampleEdit.execute(
        tuned, both, EMPTY, inverted, num_steps=STEPS, cfg=4.0, eta=0.0, edit_seed=1, trajectory=trajectory
    )[0]["samples"]
    return {"edit": far(scaled(ours), by_host), "by_frame": far(still, by_host), "changes": far(plain, by_host)}


def check_composite() -> dict[str, bool | str]:
    """Composite Edit against core's node, and its refusals."""
    edited, mask = torch.rand(CLIP.shape, generator=torch.Generator().manual_seed(1)), moving_mask()
    ours = CompositeEdit.execute(CLIP, edited, feather=0, **WHOLE, mask=mask)[0]
    core = ImageCompositeMasked.execute(CLIP, edited, 0, 0, False, mask)[0]
    soft = CompositeEdit.execute(CLIP, edited, feather=6, **WHOLE, mask=mask)[0]
    beyond = torch.nn.functional.max_pool2d(mask[:, None], 13, 1, 6)[:, 0] == 0
    late = {"feather": 8, "first_frame": 2, "last_frame": -1, "ramp": 1}
    cut = CompositeEdit.execute(CLIP, edited, **late)[0]
    repeated = ImageCompositeMasked.execute(CLIP, edited, 0, 0, False, mask[:2])[0]
    alpha = torch.cat([edited, torch.ones_like(edited[..., :1])], -1)
    return {
        "is_core_without_feather": torch.equal(ours, core),
        "soft_beyond_equal": torch.equal(soft[beyond], CLIP[beyond]),
        "soft_inside_equal": torch.equal(soft[mask == 1], edited[mask == 1]),
        "frames_before_equal": torch.equal(cut[:2], CLIP[:2]),
        "frames_after_equal": torch.equal(cut[3:], edited[3:]),
        "ramp_is_half": torch.allclose(cut[2], (CLIP[2] + edited[2]) / 2, atol=1e-6),
        "alpha_dropped": torch.equal(CompositeEdit.execute(CLIP, alpha, **late)[0], cut),
        "core_repeats_masks": repeated.shape == CLIP.shape,
        "refused": {
            "fewer masks": refusal(lambda: CompositeEdit.execute(CLIP, edited, feather=0, **WHOLE, mask=mask[:2])),
            "fewer frames": refusal(lambda: CompositeEdit.execute(CLIP, edited[:2], feather=0, **WHOLE)),
            "black": refusal(lambda: CompositeEdit.execute(CLIP, edited, feather=0, **WHOLE, mask=mask * 0)),
            "no such frame": refusal(lambda: CompositeEdit.execute(CLIP, edited, **{**late, "first_frame": 9})),
        },
    }


if __name__ == "__main__":
    report({"sampling": check_sampling, "prompts": check_local_prompts, "composite": check_composite})
