"""What the inversion methods and the blend do on the ComfyUI host, measured inside a ComfyUI process as host_checks.py
does; prints JSON.

Usage: COMFYUI_PATH=... python invert_checks.py
"""

from __future__ import annotations

import json

from host_checks import (
    CHECKPOINT,
    CLIP,
    DEMO,
    EDITED,
    EMPTY,
    LATENT,
    NUM_STEPS,
    SAMPLES,
    TARGET,
    far,
    make_motion,
    refusal,
    scaled,
)

# After host_checks, which sets ComfyUI up.
import torch  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.sampling.blend_inversions import BlendInversions  # isort: skip
from tune_a_video_pack.nodes.sampling.compare_inversions import compare  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.tav_core.sampling.blend import blend  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.sampling.edit import edit  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import EditConfig  # isort: skip
from tune_a_video_pack.tav_core.sampling.invert import invert  # isort: skip
from tune_a_video_pack.tav_core.models.latents import decode_latents, encode_frames  # isort: skip
from tune_a_video_pack.tav_core.evaluation.compare_inversions import compare_methods  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip

MOTION = make_motion(1)
TUNED = core_motion.apply_motion(DEMO.model, MOTION)
HOST = UNetDenoiser(unet=MOTION.apply_to(CHECKPOINT.unet), schedule=CHECKPOINT.schedule)
NOTHING = encode_prompt(CHECKPOINT, "")


def sample(latent, trajectory, *, cfg: float, positive=TARGET, eta: float = 0.0) -> torch.Tensor:
    given = {"num_steps": NUM_STEPS, "cfg": cfg, "eta": eta, "edit_seed": 1, "trajectory": trajectory}
    return SampleEdit.execute(TUNED, positive, EMPTY, latent, **given)[0]["samples"]


def check_method(method: str) -> dict[str, float]:
    """A method in our nodes against the diffusers host: its inversion, and an edit with guidance from one start; then
    what comes back without guidance."""
    latents, target = encode_frames(CHECKPOINT.vae, CLIP).mean, encode_prompt(CHECKPOINT, EDITED)
    expected = invert(HOST, latents, NOTHING, num_steps=NUM_STEPS, method=method, iterations=3)
    inverted, trajectory, *_ = DDIMInvert.execute(TUNED, EMPTY, LATENT, NUM_STEPS, method, 3).args
    rendered = edit(HOST, trajectory, target, NOTHING, config=EditConfig(num_steps=NUM_STEPS, guidance_scale=4.0))
    return {
        "trajectory": far(trajectory.latents, expected.latents),
        "edit": far(scaled(sample(inverted, trajectory, cfg=4.0)), rendered),
        "back": far(sample(inverted, trajectory, cfg=1.0, positive=EMPTY), SAMPLES),
        "alone": refusal(lambda: sample(inverted, None, cfg=1.0)),
        "eta": refusal(lambda: sample(inverted, trajectory, cfg=1.0, eta=0.5)),
    }


def check_blend(method: str) -> dict[str, float]:
    """Two clips' inversions blended by the node and by the library."""
    one = DDIMInvert.execute(TUNED, EMPTY, LATENT, NUM_STEPS, method, 3).args[:2]
    other = DDIMInvert.execute(TUNED, EMPTY, {"samples": SAMPLES.flip(0)}, NUM_STEPS, method, 3).args[:2]
    latent, trajectory = BlendInversions.execute(*one, *other, 0.3).args
    expected = blend(one[1], other[1], 0.3)
    return {
        "trajectory": far(trajectory.latents, expected.latents),
        "noise": far(scaled(latent["samples"]), expected.noise),
        "renders": bool(sample(latent, trajectory, cfg=4.0).isfinite().all()),
        "alone": refusal(lambda: sample(latent, None, cfg=1.0)),
    }


def check_comparison() -> dict[str, list[list[float]]]:
    """What Compare Inversions says, and the library on the diffusers host: dB of frames and latents, and calls."""
    how = {"num_steps": NUM_STEPS, "iterations": 3}
    decode = lambda latents: decode_latents(CHECKPOINT.vae, latents)[0]  # noqa: E731
    latents = encode_frames(CHECKPOINT.vae, CLIP).mean
    both = {
        "node": compare(TUNED, EMPTY, SAMPLES, DEMO.vae, **how),
        "library": compare_methods(HOST, latents, NOTHING, decode, **how),
    }
    return {name: [[each.frames, each.latents, each.calls] for each in found] for name, found in both.items()}


def check_default() -> bool:
    """Whether a graph of before there were methods does what it did."""
    found = [DDIMInvert.execute(TUNED, EMPTY, LATENT, NUM_STEPS, *more)[0]["samples"] for more in ((), ("ddim", 9))]
    return torch.equal(*found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode():
        results = {method: check_method(method) for method in ("ddim", "fixed_point", "o_belm", "dpmpp_2m")}
        results |= {f"blend_{method}": check_blend(method) for method in ("ddim", "o_belm")}
        print("RESULTS " + json.dumps({**results, "comparison": check_comparison(), "default": check_default()}))
