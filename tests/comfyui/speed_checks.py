"""What takes fewer predictions on the ComfyUI host: guidance that ends early, and core's EasyCache on our MODEL; and
which attention a prediction takes. Prints JSON.

Usage: COMFYUI_PATH=... python speed_checks.py
"""

from __future__ import annotations

import json

from host_checks import CHECKPOINT, CLIP, DEMO, EDITED, EMPTY, LATENT, TARGET, far, make_motion, refusal, scaled

# After host_checks, which sets ComfyUI up.
import comfy.ldm.modules.attention as core_attention  # isort: skip
import comfy.sample  # isort: skip
import comfy.samplers  # isort: skip
import torch  # isort: skip
from comfy.cli_args import args  # isort: skip
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.core.attention import find_attention  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.models.latents import encode_frames  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import EditConfig  # isort: skip
from tune_a_video_pack.tav_core.sampling.edit import edit  # isort: skip
from tune_a_video_pack.tav_core.sampling.invert import invert  # isort: skip

NUM_STEPS, CFG = 20, 4.0
MOTION = make_motion(1)
TUNED = core_motion.apply_motion(DEMO.model, MOTION)


class Predictions:
    """Counts the videos that a MODEL's network predicts, while it is entered."""

    def __enter__(self) -> Predictions:
        self.frames = 0
        # The first layer, because EasyCache stands between the network and its layers.
        self.hook = DEMO.model.model.diffusion_model.input_blocks[0][0].register_forward_pre_hook(self.count)
        return self

    def __exit__(self, *_) -> None:
        self.hook.remove()

    def count(self, _, args) -> None:
        self.frames += len(args[0])

    @property
    def videos(self) -> float:
        return self.frames / len(CLIP)


def sample(model, inverted, trajectory, **given) -> tuple[torch.Tensor, int]:
    """An edit and its number of predictions."""
    told = {"num_steps": NUM_STEPS, "cfg": CFG, "eta": 0.0, "edit_seed": 1, "trajectory": trajectory, **given}
    with Predictions() as counted:
        samples = SampleEdit.execute(model, TARGET, EMPTY, inverted, **told)[0]["samples"]
    return samples, counted.videos


def check_guidance(inverted, trajectory) -> dict[str, float]:
    """Guidance up to a share of the steps, on this host and on the diffusers one; an edit after it has all of it."""
    host = UNetDenoiser(unet=MOTION.apply_to(CHECKPOINT.unet), schedule=CHECKPOINT.schedule)
    latents = encode_frames(CHECKPOINT.vae, CLIP).mean
    empty, target = encode_prompt(CHECKPOINT, ""), encode_prompt(CHECKPOINT, EDITED)
    start = invert(host, latents, empty, num_steps=NUM_STEPS)
    config = EditConfig(num_steps=NUM_STEPS, guidance_scale=CFG, guidance_until=0.6)
    short, short_videos = sample(TUNED, inverted, trajectory, guidance_until=0.6)
    whole, whole_videos = sample(TUNED, inverted, trajectory)
    return {
        "agrees": far(scaled(short), edit(host, start, target, empty, config=config)),
        "differs": far(short, whole),
        "videos": [short_videos, whole_videos],
    }


def check_cache(cache, inverted, trajectory) -> dict[str, float]:
    """A cache of core's behind Apply Motion: what it saves in an edit, and what it changes; core's own sampler too."""
    model = cache.execute(TUNED, 0.2, 0.15, 0.95, False).args[0]
    plain, all_videos = sample(TUNED, inverted, trajectory)
    cached, videos = sample(model, inverted, trajectory)
    again, _ = sample(TUNED, inverted, trajectory)
    with Predictions() as counted:
        ends, _, noise, sigmas = DDIMInvert.execute(model, EMPTY, LATENT, NUM_STEPS).args
    sampler = comfy.samplers.sampler_object("ddim")
    with Predictions() as stock:
        stocked = comfy.sample.sample_custom(
            model, noise.generate_noise(LATENT), CFG, sampler, sigmas, TARGET, EMPTY, LATENT["samples"], seed=1
        )
    return {
        "videos": [videos, all_videos],
        "changes": far(cached, plain),
        "left_alone": torch.equal(plain, again),
        "inversion_videos": counted.videos,
        "inversion_changes": far(ends["samples"], inverted["samples"]),
        "stock_videos": stock.videos,
        "resampled": refusal(lambda: sample(model, inverted, trajectory, mask=torch.ones(1, 96, 96), resample=2)),
        "finite": bool(cached.isfinite().all() and stocked.isfinite().all()),
    }


def check_attention() -> dict[str, bool | float]:
    """Which attention our layers call on a CPU under core's options, and how far it is from core's own."""
    tokens = torch.randn((2, 144, 64), generator=torch.Generator().manual_seed(0))
    usual = core_attention.optimized_attention
    found = {"own": find_attention(tokens) is core_attention.attention_pytorch}
    try:
        core_attention.optimized_attention = core_attention.attention_split
        found["split"] = find_attention(tokens) is core_attention.attention_split
        core_attention.optimized_attention = core_attention.attention_sub_quad
        found["card"] = find_attention(tokens.to("meta")) is core_attention.attention_sub_quad
        args.use_quad_cross_attention = True
        found["asked"] = find_attention(tokens) is core_attention.attention_sub_quad
    finally:
        core_attention.optimized_attention, args.use_quad_cross_attention = usual, False
    ours, theirs = find_attention(tokens), core_attention.attention_sub_quad
    return {**found, "apart": far(*(each(tokens, tokens, tokens, heads=4) for each in (ours, theirs)))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode():
        start = DDIMInvert.execute(TUNED, EMPTY, LATENT, NUM_STEPS).args[:2]
        results = {"attention": check_attention(), "guidance": check_guidance(*start)}
        for cache in (EasyCacheNode, LazyCacheNode):
            results[cache.__name__] = check_cache(cache, *start)
        print("RESULTS " + json.dumps(results))
