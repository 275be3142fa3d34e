"""Core's nodes for guidance, for distilled models and for small weights with ours; prints one JSON object.

Usage: COMFYUI_PATH=... python other_nodes_checks.py
"""

from __future__ import annotations

import json

from host_checks import DEMO, EMPTY, LATENT, NUM_FRAMES, args, far, make_motion, refusal, render

# After host_checks, which sets ComfyUI up.
import torch  # isort: skip
from comfy_extras.nodes_model_advanced import (  # isort: skip
    ModelSamplingContinuousEDM,
    ModelSamplingDiscrete,
    ModelSamplingSD3,
    RescaleCFG,
)
from comfy_extras.nodes_pag import PerturbedAttentionGuidance  # isort: skip
from comfy_extras.nodes_perpneg import PerpNeg  # isort: skip
from comfy_extras.nodes_sag import SelfAttentionGuidance  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.core.demo import load_unet  # isort: skip
from tune_a_video_pack.nodes.core.injection import add_injection  # isort: skip
from tune_a_video_pack.nodes.core.unet import read_schedule, read_weights  # isort: skip
from tune_a_video_pack.nodes.core.weights_hash import hash_model  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.sockets.bridge import first_context  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import InjectionConfig  # isort: skip

NUM_STEPS = 3
SD3 = ModelSamplingSD3().patch(DEMO.model, 3.0)
TUNED = core_motion.apply_motion(DEMO.model, make_motion(1))


def given(result):
    """The MODEL that a node of either of core's two kinds gives."""
    return result[0] if isinstance(result, tuple) else result.args[0]


def invert(model, num_steps: int = NUM_STEPS) -> tuple:
    return DDIMInvert.execute(model, EMPTY, LATENT, num_steps).args


def check_guidance() -> dict[str, float]:
    """How far an inversion is from that of the MODEL in front of a node that is about guidance."""
    plain = invert(TUNED)[0]["samples"]
    models = {
        "SelfAttentionGuidance": given(SelfAttentionGuidance().execute(TUNED, 0.5, 2.0)),
        "PerturbedAttentionGuidance": given(PerturbedAttentionGuidance().execute(TUNED, 3.0)),
        "PerpNeg": given(PerpNeg().execute(TUNED, EMPTY, 1.0)),
        "RescaleCFG": given(RescaleCFG().patch(TUNED, 0.7)),
    }
    return {name: far(invert(model)[0]["samples"], plain) for name, model in models.items()}


def check_guidance_stays() -> float:
    """How much such a node changes the edit, where guidance is meant to be."""
    return far(render(given(PerturbedAttentionGuidance().execute(TUNED, 3.0))), render(TUNED))


def check_distilled() -> dict[str, object]:
    """A MODEL with the sampling of LCM, of whose 1000 timesteps core lists 50."""
    distilled = given(ModelSamplingDiscrete().patch(TUNED, "lcm", False))
    # Before both are loaded: DynamicVRAM puts the noise levels of one clone into the other (ComfyUI's issue 16490).
    hashed = hash_model(distilled) != hash_model(TUNED)
    start, trajectory, *_ = invert(TUNED)
    _, own, *_ = invert(distilled, 50)
    source = add_injection(distilled, trajectory, first_context(EMPTY), InjectionConfig())
    return {
        "alphas": read_schedule(distilled).alphas == read_schedule(TUNED).alphas,
        "timesteps": own.timesteps == tuple(range(1, 1000, 20)),
        "finite": bool(own.latents.isfinite().all()),
        "hash": hashed,
        "injected": refusal(lambda: render(source, start)),
    }


def check_other_levels() -> dict[str, str]:
    """What an inversion says of a MODEL whose sampling is another model's."""
    models = {
        "x0": given(ModelSamplingDiscrete().patch(TUNED, "x0", False)),
        "img_to_img": given(ModelSamplingDiscrete().patch(TUNED, "img_to_img", False)),
        "edm": given(ModelSamplingContinuousEDM().patch(TUNED, "eps", 120.0, 0.002)),
        "flow": given(ModelSamplingSD3().patch(TUNED, 3.0)),
        "v_prediction": given(ModelSamplingDiscrete().patch(TUNED, "v_prediction", False)),
        "zsnr": given(ModelSamplingDiscrete().patch(TUNED, "eps", True)),
    }
    told = {name: refusal(lambda model=model: invert(model)) for name, model in models.items()}
    return told | {"applied": refusal(lambda: core_motion.apply_motion(given(SD3), make_motion(1)))}


def check_noise() -> dict[str, object]:
    """The inverted noise as NOISE, with latents of other shapes."""
    samples = LATENT["samples"]
    noise = invert(TUNED)[2]
    shapes = {
        "frames": torch.zeros_like(samples[:2]),
        "size": torch.zeros_like(samples[..., :8]),
        "channels": torch.zeros(NUM_FRAMES, 16, *samples.shape[2:]),
    }
    one = noise.generate_noise({"samples": torch.zeros_like(samples[:1])})
    told = {name: refusal(lambda x=x: noise.generate_noise({"samples": x})) for name, x in shapes.items()}
    return told | {"one_frame": torch.equal(one, noise.generate_noise({"samples": torch.zeros_like(samples)}))}


def check_small_weights() -> dict[str, bool | str]:
    """A MODEL in fp8, as --fp8_e4m3fn-unet makes all: whether an edit on it, which other packs of motions could not
    sample, is made of numbers; and what is said if it is to be tuned.
    """
    args.fp8_e4m3fn_unet = True
    small = load_unet()
    assert all(weight.dtype.itemsize == 1 for weight in small.model.diffusion_model.state_dict().values())
    tuned = core_motion.apply_motion(small, make_motion(1))
    (beside,) = tuned.get_additional_models()
    return {
        "finite": bool(render(tuned).isfinite().all()),
        "temporal": [str(weight.dtype) for weight in beside.model.parameters()],
        "said": refusal(lambda: read_weights(small, torch.float32)),
    }


def check_scaled_weights() -> dict[str, bool | str]:
    """A MODEL in ComfyUI's format of weights with scales: what Apply Motion and a tuning ask of it."""
    scaled = load_unet()
    layer = scaled.get_model_object("diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q")
    layer.register_buffer("comfy_quant", torch.zeros(1, dtype=torch.uint8))
    said = refusal(lambda: read_weights(scaled, torch.float32))
    return {"same_base": core_motion.same_base(scaled, make_motion(1)), "said": said}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode():
        checks = (
            check_guidance,
            check_guidance_stays,
            check_distilled,
            check_other_levels,
            check_noise,
            check_scaled_weights,
            check_small_weights,
        )
        print("RESULTS " + json.dumps({check.__name__.removeprefix("check_"): check() for check in checks}))
