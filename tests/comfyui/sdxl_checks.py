"""Stable Diffusion XL in core against the library's host, on tiny models of random weights; prints one JSON object.

Usage: COMFYUI_PATH=... python sdxl_checks.py
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import sdxl_files as tiny
from host_checks import NUM_FRAMES, core_motion, core_unet, far, report
from sdxl_models import (
    CHECKPOINT,
    CLIP_SIZES,
    EDITED,
    EMPTY,
    FRAMES,
    LATENT,
    MODEL,
    OURS,
    PARTS,
    PROMPT,
    RANK,
    SAMPLES,
    SIDE,
    SOURCE,
    STEPS,
    TARGET,
    VAE,
    encode,
    host,
    make_xl_motion,
    render,
    scaled,
    told,
)
from sdxl_refusals import check_refusals

# After host_checks, which sets ComfyUI up.
import comfy.cldm.cldm  # isort: skip
import comfy.controlnet  # isort: skip
import comfy.lora  # isort: skip
import comfy.model_base  # isort: skip
import comfy.ldm.modules.attention as core_attention  # isort: skip
import comfy.model_management  # isort: skip
import comfy.ops  # isort: skip
import comfy.sample  # isort: skip
import comfy.samplers  # isort: skip
import torch  # isort: skip
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete  # isort: skip
from tune_a_video_pack.nodes.core import cross_frame, windows  # isort: skip
from tune_a_video_pack.nodes.core.patchers import give_weights  # isort: skip
from tune_a_video_pack.nodes.core.sampling import run_stage  # isort: skip
from tune_a_video_pack.nodes.sampling.compare_inversions import compare  # isort: skip
from tune_a_video_pack.nodes.sampling.inject_source import InjectSource  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.nodes.sampling.zero_shot_start import ZeroShotStart  # isort: skip
from tune_a_video_pack.tav_core.denoisers.windows import ContextWindows, WindowedDenoiser  # isort: skip
from tune_a_video_pack.tav_core.models.latents import encode_frames  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import EditConfig, InjectionConfig  # isort: skip
from tune_a_video_pack.tav_core.sampling.edit import edit  # isort: skip
from tune_a_video_pack.tav_core.sampling.injection import InjectedDenoiser  # isort: skip
from tune_a_video_pack.tav_core.sampling.invert import invert  # isort: skip


TIMESTEP = 481


def seen_y(model, positive) -> torch.Tensor:
    """What core's UNet gets as y for the frames of a prompt, while it samples."""
    seen = []
    inner = model.model.diffusion_model
    watch = inner.register_forward_pre_hook(lambda module, args, given: seen.append(given["y"]), with_kwargs=True)
    try:
        DDIMInvert.execute(model, positive, LATENT, 1)
    finally:
        watch.remove()
    return seen[0]


def library_y(text: str, sizes) -> torch.Tensor:
    """The same vector from diffusers' parts: the pooled text and the sinusoids of the sizes."""
    unet, pooled = CHECKPOINT.unet, OURS[text].pooled_text
    waves = unet.add_time_proj(torch.tensor(list(sizes))).flatten()[None]
    return torch.cat([pooled, waves], dim=1)


@contextmanager
def one_attention() -> Iterator[None]:
    """Core takes what our layers take on a CPU, so that not even rounding is left between them and its own."""
    usual = core_attention.optimized_attention
    core_attention.optimized_attention = core_attention.attention_pytorch
    try:
        yield
    finally:
        core_attention.optimized_attention = usual


def check_parts() -> dict[str, float | bool]:
    """Texts, latents, weights and y of both hosts."""
    read = core_unet.read_unet(MODEL, dtype=torch.float32, device=torch.device("cpu"))
    y = seen_y(core_motion.apply_motion(MODEL, make_xl_motion(1)), SOURCE)
    return {
        "text": max(far(encode(text)[0][0], ours.text) for text, ours in OURS.items()),
        "pooled": max(far(encode(text)[0][1]["pooled_output"], ours.pooled_text) for text, ours in OURS.items()),
        "empty": float(encode("")[0][0].abs().max()),
        "latents": far(scaled(SAMPLES), encode_frames(CHECKPOINT.vae, FRAMES).mean),
        "unet_read_back_equal": all(torch.equal(t, read.state_dict()[n]) for n, t in PARTS.unet.state_dict().items()),
        "hash_equal": core_motion.same_base(MODEL, make_xl_motion(1)),
        "y": far(y, library_y(PROMPT, CLIP_SIZES).expand(NUM_FRAMES, -1)),
        "rows": len(y),
    }


def core_epsilon(model, positive) -> torch.Tensor:
    """What core's UNet predicts for the clip's latents at one timestep, `1 c f h w`."""
    stage = lambda denoiser, latents, tell: (latents, denoiser.epsilon(latents, TIMESTEP, denoiser.context))  # noqa: E731
    return run_stage(model, SAMPLES, stage, positive=positive, num_steps=1, name="Predict")[1]


def check_agreement() -> dict[str, float]:
    """Epsilon, inversion and edit of both hosts, for motions of each kind; core's own DDIM."""
    latents, found = scaled(SAMPLES), {}
    kinds = {
        "last, low rank": {},
        "all, whole": {"temporal": "all", "rank": 0},
        "told 1024": {"sizes": [1024, 1024, 0, 0, 1024, 1024]},
        "rotary, clip": {"positions": "rotary", "group_norm": "clip"},
    }
    for kind, settings in kinds.items():
        motion = make_xl_motion(1, **settings)
        tuned, ours = core_motion.apply_motion(MODEL, motion), host(motion)
        expected = invert(ours, latents, OURS[""], num_steps=STEPS)
        inverted, trajectory, noise, sigmas = DDIMInvert.execute(tuned, EMPTY, LATENT, STEPS).args
        rendered = edit(ours, expected, OURS[EDITED], OURS[""], config=EditConfig(num_steps=STEPS, guidance_scale=5.0))
        given = {"num_steps": STEPS, "cfg": 5.0, "eta": 0.0, "edit_seed": 1, "trajectory": trajectory}
        edited = SampleEdit.execute(tuned, TARGET, EMPTY, inverted, **given)[0]["samples"]
        found[f"{kind}: epsilon"] = far(core_epsilon(tuned, SOURCE), ours.epsilon(latents, TIMESTEP, OURS[PROMPT]))
        found[f"{kind}: inversion"] = far(trajectory.latents, expected.latents)
        found[f"{kind}: edit"] = far(scaled(edited), rendered)
    sampler = comfy.samplers.sampler_object("ddim")
    start = noise.generate_noise(LATENT)
    stock = comfy.sample.sample_custom(
        tuned, start, 5.0, sampler, sigmas, TARGET, EMPTY, SAMPLES, disable_pbar=True, seed=1
    )
    return {**found, "stock_ddim": far(stock, edited)}


@one_attention()
def check_methods() -> dict[str, float]:
    """Every way to invert, to and fro; and what Compare Inversions says of them."""
    tuned = core_motion.apply_motion(MODEL, make_xl_motion(1))
    found = {}
    for report_of in compare(tuned, SOURCE, SAMPLES, VAE, num_steps=STEPS, iterations=2):
        found[report_of.method] = float(report_of.latents)
    for method in ("ddim", "fixed_point", "o_belm", "dpmpp_2m"):
        ours = invert(host(make_xl_motion(1)), scaled(SAMPLES), OURS[""], num_steps=STEPS, method=method, iterations=2)
        theirs = DDIMInvert.execute(tuned, EMPTY, LATENT, STEPS, method, 2)[1]
        found[f"{method} agrees"] = far(theirs.latents, ours.latents)
    return found


def check_sizes() -> dict[str, float | bool]:
    """Who says the sizes: the CONDITIONING, else the motion, else the latents; each changes y alone."""
    large = [1024, 1024, 0, 0, 1024, 1024]
    tuned, at_1024 = (core_motion.apply_motion(MODEL, make_xl_motion(1, sizes=s)) for s in (CLIP_SIZES, large))
    bare = core_motion.apply_motion(MODEL, make_xl_motion(1, sizes=[]))
    wide = told(PROMPT, width=512, height=1024)
    usual, plain = seen_y(tuned, SOURCE), render(tuned)
    row = lambda y, sizes: far(y, library_y(PROMPT, sizes).expand(NUM_FRAMES, -1))  # noqa: E731
    half = [[SOURCE[0][0], {**SOURCE[0][1], "width": 512}]]
    return {
        "of the motion": row(seen_y(at_1024, SOURCE), large),
        "of the latents": row(seen_y(bare, SOURCE), CLIP_SIZES),
        "of the conditioning": row(seen_y(tuned, wide), [1024, 512, 0, 0, 1024, 1024]),
        "width alone": row(seen_y(at_1024, half), [SIDE, 512, 0, 0, SIDE, 512]),
        "pooled stays": torch.equal(seen_y(tuned, wide)[:, : tiny.POOLED], usual[:, : tiny.POOLED]),
        "text stays": torch.equal(wide[0][0], SOURCE[0][0]),
        "changes the edit": far(render(tuned, told(EDITED), told("")), plain),
        "as the motion's": far(render(at_1024), render(at_1024, told(EDITED), told(""))),
        "given prompt is not changed": "width" not in SOURCE[0][1],
    }


@one_attention()
def check_patches() -> dict[str, float | bool]:
    """Low rank and merged, strengths, LoRAs under old and new names, and the MODEL afterwards."""
    comfy.model_management.unload_all_models()
    before = {n: t.clone() for n, t in MODEL.model.state_dict().items()}
    plain = render(MODEL)
    factored = make_xl_motion(1)
    merged = dataclasses.replace(factored, deltas=dict(factored.deltas))
    apply = lambda motion, **how: core_motion.apply_motion(MODEL, motion, **how)  # noqa: E731
    on, half = render(apply(factored)), render(apply(factored, strength=0.5))
    off = {"strength": 0, "temporal_strength": 0, "attention": "spatial"}
    places = {p for p in apply(factored).object_patches if p.endswith(tuple("0123456789"))}
    lora = {}
    for name in (
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn2_to_q",
        "lora_unet_input_blocks_5_1_transformer_blocks_2_attn1_to_k",
    ):
        width = 64 if "down_blocks_1" in name else 128
        lora |= {f"{name}.lora_down.weight": torch.ones(RANK, width), f"{name}.lora_up.weight": torch.ones(width, RANK)}
    keys = comfy.lora.model_lora_keys_unet(MODEL.model, {})
    patches = comfy.lora.load_lora(lora, keys)
    first, last = MODEL.clone(), apply(factored)
    taken = [len(first.add_patches(patches, 0.1)), len(last.add_patches(patches, 0.1))]
    both = render(core_motion.apply_motion(first, factored))
    after_lora = render(last)
    comfy.model_management.unload_all_models()
    after = MODEL.model.state_dict()
    return {
        "factors are as merged": far(on, render(apply(merged))),
        "half is as half": far(half, render(apply(merged, strength=0.5))),
        "strength changes": far(half, on),
        "motion changes": far(on, plain),
        "nothing left": far(render(apply(factored, **off)), plain),
        "blocks": len(places),
        "lora keys": taken,
        "lora changes": far(both, on),
        "lora order": far(after_lora, both),
        "weights back": before.keys() == after.keys() and all(torch.equal(t, after[n]) for n, t in before.items()),
        "plain back": torch.equal(plain, render(MODEL)),
    }


@one_attention()
def check_techniques() -> dict[str, float | bool]:
    """Injection and windows against the library; local edits, Cross-Frame Model, stock samplers, per-frame prompts."""
    motion = make_xl_motion(1)
    tuned, ours, found = core_motion.apply_motion(MODEL, motion), host(motion), {}
    source = invert(ours, scaled(SAMPLES), OURS[PROMPT], num_steps=STEPS)
    inverted, trajectory = DDIMInvert.execute(tuned, SOURCE, LATENT, STEPS).args[:2]
    config = EditConfig(num_steps=STEPS, guidance_scale=5.0)
    given = {"num_steps": STEPS, "cfg": 5.0, "eta": 0.0, "edit_seed": 1, "trajectory": trajectory}
    edit_on = lambda model, **how: SampleEdit.execute(model, TARGET, EMPTY, inverted, **given, **how)[0]["samples"]  # noqa: E731
    plain = edit_on(tuned)
    injected = InjectSource.execute(tuned, trajectory, SOURCE, 0.5, 0.8, 4)[0]
    wrapped = InjectedDenoiser(
        denoiser=ours,
        trajectory=source,
        source_context=OURS[PROMPT],
        config=InjectionConfig(attention=0.5, features=0.8, first_layer=4),
    )
    found["injection"] = far(scaled(edit_on(injected)), edit(wrapped, source, OURS[EDITED], OURS[""], config=config))
    found["injection changes"] = far(edit_on(injected), plain)
    other = InjectSource.execute(tuned, trajectory, told(PROMPT), 0.5, 0.8, 4)[0]
    found["the source is told its own sizes"] = far(edit_on(other), edit_on(injected))
    short = ContextWindows(length=3, overlap=1)
    windowed = WindowedDenoiser(denoiser=ours, windows=short)
    start = invert(windowed, scaled(SAMPLES), OURS[PROMPT], num_steps=STEPS)
    by_windows = windows.add_windows(tuned, short)
    own = DDIMInvert.execute(by_windows, SOURCE, LATENT, STEPS).args[1]
    found["windows"] = far(own.latents, start.latents)
    mask = torch.zeros(1, SIDE, SIDE)
    mask[..., SIDE // 2 :] = 1
    local = edit_on(tuned, mask=mask, feather=0)
    found["outside the mask"] = far(local[..., : SIDE // 32], SAMPLES[..., : SIDE // 32])
    found["inside the mask"] = far(local[..., -4:], SAMPLES[..., -4:])
    crossed = cross_frame.look_across_frames(MODEL, attention="first")
    found["cross frame changes"] = far(render(crossed), render(MODEL))
    alone = cross_frame.look_across_frames(MODEL, attention="spatial")
    found["cross frame alone"] = far(render(alone), render(MODEL))
    for name, scheduler in (("ddim", "ddim_uniform"), ("euler", "normal"), ("dpmpp_2m", "karras")):
        noise = comfy.sample.prepare_noise(SAMPLES, 1)
        out = comfy.sample.sample(
            tuned, noise, 3, 5.0, name, scheduler, TARGET, EMPTY, SAMPLES, disable_pbar=True, seed=1
        )
        found[f"sampler {name}"] = bool(torch.isfinite(out).all()) and out.shape == SAMPLES.shape
    found |= check_frames_of_prompts(tuned)
    return found


def check_controls() -> dict[str, float]:
    """A ControlNet of XL's on a tuned MODEL, from core's own nodes; a video from text, with nothing tuned."""
    kept = {k: v for k, v in tiny.UNET.items() if k not in ("out_channels", "transformer_depth_output")}
    net = comfy.cldm.cldm.ControlNet(**kept, hint_channels=3, operations=comfy.ops.manual_cast, dtype=torch.float32)
    control = comfy.controlnet.ControlNet(
        tiny.randomize(give_weights(net), 3), load_device=torch.device("cpu"), manual_cast_dtype=None
    )
    tuned = core_motion.apply_motion(MODEL, make_xl_motion(1))
    hint = torch.rand(FRAMES.shape, generator=torch.Generator().manual_seed(2))
    on = lambda it, prompt: [[text, {**extras, **held(control, it)}] for text, extras in prompt]  # noqa: E731
    controlled = render(tuned, on(hint, TARGET), on(hint, EMPTY))
    prompts = {"positive": TARGET, "negative": EMPTY}
    crossed, moments = cross_frame.look_across_frames(MODEL, attention="first"), {"t0": 0.5, "t1": 0.7}
    noisy, sigmas = ZeroShotStart.execute(crossed, *prompts.values(), LATENT, 5, 6, 5.0, **moments).args
    return {
        "control changes": far(controlled, render(tuned)),
        "control by frame": far(render(tuned, on(hint.flip(0), TARGET), on(hint.flip(0), EMPTY)), controlled),
        "zero shot": float(noisy["samples"].isfinite().all()) * len(sigmas),
    }


def held(control, hint: torch.Tensor) -> dict:
    """What Apply ControlNet puts beside a text."""
    net = control.copy().set_cond_hint(hint.movedim(-1, 1), 1.0, (0.0, 1.0))
    return {"control": net, "control_apply_to_uncond": True}


def check_frames_of_prompts(tuned) -> dict[str, float]:
    """A prompt for each frame, text and pooled text, as schedules of prompts give it; also in windows."""
    each = [encode(f"{EDITED} {number}")[0] for number in range(NUM_FRAMES)]
    texts = torch.cat([text for text, _ in each])
    pooled = torch.cat([extras["pooled_output"] for _, extras in each])
    schedule = [[texts, {"pooled_output": pooled}]]
    by_windows = windows.add_windows(tuned, ContextWindows(length=NUM_FRAMES, overlap=1))
    y = seen_y(tuned, schedule)
    return {
        "a pooled text per frame": far(y[:, : tiny.POOLED], pooled),
        "in windows too": far(render(by_windows, schedule), render(tuned, schedule)),
    }


def check_velocity() -> dict[str, float | bool | str]:
    """A MODEL whose velocity is said by its file, and one where a node says it."""
    said = tiny.core_model(PARTS.unet, model_type=comfy.model_base.ModelType.V_PREDICTION)
    by_node = ModelSamplingDiscrete().patch(MODEL, "v_prediction", False)[0]
    motion = make_xl_motion(1)
    ours = host(motion)
    schedule = dataclasses.replace(CHECKPOINT.schedule, prediction_type="v_prediction")
    expected = invert(dataclasses.replace(ours, schedule=schedule), scaled(SAMPLES), OURS[""], num_steps=STEPS)
    found = {}
    for name, model in (("by file", said), ("by node", by_node)):
        theirs = DDIMInvert.execute(core_motion.apply_motion(model, motion), EMPTY, LATENT, STEPS).args[1]
        found[name] = far(theirs.latents, expected.latents)
        found[f"{name}, schedule"] = core_unet.read_schedule(model).prediction_type
    return found


CHECKS = {
    "parts": check_parts,
    "agreement": check_agreement,
    "methods": check_methods,
    "sizes": check_sizes,
    "patches": check_patches,
    "techniques": check_techniques,
    "controls": check_controls,
    "velocity": check_velocity,
    "refusals": check_refusals,
}

if __name__ == "__main__":
    report(CHECKS)
