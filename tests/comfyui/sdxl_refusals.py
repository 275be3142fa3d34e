"""What of Stable Diffusion XL's kind is refused on core, and in which words: checks that sdxl_checks.py runs."""

from __future__ import annotations

import dataclasses

import sdxl_files as tiny
from host_checks import DEMO, core_motion, give_weights, make_motion, refusal
from sdxl_models import LATENT, MODEL, PARTS, SOURCE, make_xl_motion

# After host_checks, which sets ComfyUI up.
import comfy.model_base  # isort: skip
import comfy.model_patcher  # isort: skip
import comfy.supported_models  # isort: skip
import torch  # isort: skip
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete  # isort: skip
from tune_a_video_pack.nodes.sampling.inject_source import InjectSource  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.tuning.motion_files import ImportOriginal  # isort: skip
from tune_a_video_pack.tav_core.tuning.motion import Motion  # isort: skip


def check_refusals() -> dict[str, str]:
    """Relatives of XL, other noise, prompts and motions that do not fit."""
    motion, apply = make_xl_motion(1), core_motion.apply_motion
    tuned = apply(MODEL, motion)
    text, extras = SOURCE[0]
    invert_with = lambda conditioning: DDIMInvert.execute(tuned, conditioning, LATENT, 1)  # noqa: E731
    bare = [[text, {}]]
    other = [[text, {"pooled_output": torch.zeros(1, 768)}]]
    sd1 = [[torch.zeros(1, 77, 768), {"pooled_output": torch.zeros(1, 768)}]]
    vision = [[text, {**extras, "unclip_conditioning": []}]]
    zsnr = ModelSamplingDiscrete().patch(MODEL, "v_prediction", True)[0]
    edm = tiny.core_model(PARTS.unet, model_type=comfy.model_base.ModelType.EDM)
    edm_velocity = tiny.core_model(PARTS.unet, model_type=comfy.model_base.ModelType.V_PREDICTION_EDM)
    lacks = dataclasses.replace(motion, temporal=dict(list(motion.temporal.items())[7:]))
    said_all = dataclasses.replace(motion, info=dataclasses.replace(motion.info, modes={"temporal": "all"}))
    return {
        "no pooled text": refusal(lambda: invert_with(bare)),
        "pooled text of another width": refusal(lambda: invert_with(other)),
        "text of 1.x": refusal(lambda: invert_with(sd1)),
        "an image as source": refusal(lambda: InjectSource.execute(tuned, *inverted_once(tuned), vision, 0.5, 0.5, 4)),
        "zero terminal SNR": refusal(lambda: apply(zsnr, motion)),
        "EDM": refusal(lambda: apply(edm, motion)),
        "EDM's velocity": refusal(lambda: apply(edm_velocity, motion)),
        "a motion of 1.x": refusal(lambda: apply(MODEL, make_motion(1))),
        "a motion of XL on 1.x": refusal(lambda: apply(DEMO.model, motion)),
        "temporal weights missing": refusal(lambda: apply(MODEL, lacks)),
        "says all, has the last": refusal(lambda: apply(MODEL, said_all)),
        "sizes too large": refusal(lambda: InjectSource.execute(tuned, *inverted_once(tuned), huge(), 0.5, 0.5, 4)),
        "an original to import": refusal(lambda: ImportOriginal.execute(MODEL, "diffusers/none")),
        **refused_relatives(motion),
    }


def huge() -> list:
    return [[SOURCE[0][0], {**SOURCE[0][1], "width": 100_000}]]


def inverted_once(tuned) -> tuple:
    return (DDIMInvert.execute(tuned, SOURCE, LATENT, 1).args[1],)


def refused_relatives(motion: Motion) -> dict[str, str]:
    """Models of XL's kind with other layouts, on the meta device: as core builds them, at their full size."""
    layouts = {
        "SSD1B": ([0, 0, 2, 2, 4, 4], [0, 0, 0, 1, 1, 2, 10, 4, 4], -1, 2),
        "Segmind_Vega": ([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1, 2, 2, 2], -1, 2),
        "KOALA_700M": ([0, 2, 5], [0, 0, 2, 2, 5, 5], -2, 1),
        "KOALA_1B": ([0, 2, 6], [0, 0, 2, 2, 6, 6], 6, 1),
    }
    full = {"model_channels": 320, "context_dim": 2048, "adm_in_channels": 2816, "channel_mult": [1, 2, 4]}
    found = {}
    for name, (down, up, middle, layers) in layouts.items():
        depths = {"transformer_depth": down, "transformer_depth_output": up, "transformer_depth_middle": middle}
        found[name] = refusal_of(getattr(comfy.supported_models, name), {**full, **depths}, layers, motion)
    refiner = {"model_channels": 384, "context_dim": 1280, "adm_in_channels": 2560, "channel_mult": [1, 2, 4, 4]}
    depths = {
        "transformer_depth": [0, 0, 4, 4, 4, 4, 0, 0],
        "transformer_depth_output": [0, 0, 0, 4, 4, 4, 4, 4, 4, 0, 0, 0],
        "transformer_depth_middle": 4,
    }
    found["refiner"] = refusal_of(comfy.supported_models.SDXLRefiner, {**refiner, **depths}, 2, motion)
    pictures = tiny.core_model(widened(), family="SDXL_instructpix2pix", in_channels=8)
    found["InstructPix2Pix"] = refusal(lambda: core_motion.apply_motion(pictures, motion))
    return found


def refusal_of(family, settings, layers: int, motion: Motion) -> str:
    """What Apply Motion says of a MODEL of one of core's families, whose weights have no values."""
    config = family({**tiny.UNET, **settings, "num_res_blocks": [layers] * len(settings["channel_mult"])})
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=torch.device("meta"))
    with torch.device("meta"):
        give_weights(model.diffusion_model)
    patcher = comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
    return refusal(lambda: core_motion.apply_motion(patcher, motion))


def widened() -> torch.nn.Module:
    """The tiny UNet with a picture beside the latents."""
    from diffusers import UNet2DConditionModel

    config = {name: value for name, value in PARTS.unet.config.items() if not name.startswith("_")}
    return tiny.randomize(UNet2DConditionModel(**{**config, "in_channels": 8}), 9)
