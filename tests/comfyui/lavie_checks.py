"""What LaVie does on the ComfyUI host, measured inside a ComfyUI process as host_checks.py does; prints JSON.

Its weights are random; see lavie_files.py.

Usage: COMFYUI_PATH=... python lavie_checks.py
"""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from host_checks import DEMO, EMPTY, TARGET, args, far, make_controlnet, make_motion, refusal, report, with_control

# After host_checks, which sets ComfyUI up.
import comfy.ldm.modules.attention as core_attention  # isort: skip
import comfy.model_management  # isort: skip
import comfy.sample  # isort: skip
import comfy.samplers  # isort: skip
import comfy.sd  # isort: skip
import comfy.supported_models  # isort: skip
import comfy.utils  # isort: skip
import folder_paths  # isort: skip
import latent_preview  # isort: skip
import torch  # isort: skip
from lavie_files import write_lavie, write_x4_vae  # isort: skip
from safetensors.torch import load_file, save_file  # isort: skip
from tune_a_video_pack.nodes.core import frames as core_frames  # isort: skip
from tune_a_video_pack.nodes.core import lavie_host  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.core.inflation import block_paths  # isort: skip
from tune_a_video_pack.nodes.core.lavie import core_config, lavie_layer, load_base  # isort: skip
from tune_a_video_pack.nodes.core.patchers import give_weights  # isort: skip
from tune_a_video_pack.nodes.core.sampling import run_stage  # isort: skip
from tune_a_video_pack.nodes.core.windows import add_windows  # isort: skip
from tune_a_video_pack.nodes.lavie.interpolate import InterpolateFrames  # isort: skip
from tune_a_video_pack.nodes.lavie.load import LoadLaVie  # isort: skip
from tune_a_video_pack.nodes.lavie.steps import LaVieSteps  # isort: skip
from tune_a_video_pack.nodes.lavie.upscale import UpscaleVideo  # isort: skip
from tune_a_video_pack.nodes.sampling.cross_frame_model import CrossFrameModel  # isort: skip
from tune_a_video_pack.tav_core.checkpoints.lavie import FREQUENCIES, load_lavie  # isort: skip
from tune_a_video_pack.tav_core.checkpoints.lavie_configs import lavie_unet_config  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.denoisers.windows import ContextWindows, WindowedDenoiser  # isort: skip
from tune_a_video_pack.tav_core.models.schedule import draw_noise  # isort: skip
from tune_a_video_pack.tav_core.sampling.interpolate import interpolate  # isort: skip
from tune_a_video_pack.tav_core.sampling.lavie_config import (  # isort: skip
    InterpolateConfig,
    TextToVideoConfig,
    UpscaleConfig,
)
from tune_a_video_pack.tav_core.sampling.text_to_video import text_to_video  # isort: skip
from tune_a_video_pack.tav_core.sampling.keep_colors import keep_colors  # isort: skip
from tune_a_video_pack.tav_core.sampling.upscale import upscale  # isort: skip

args.preview_method = latent_preview.LatentPreviewMethod.Auto
REAL_KEYS = Path(__file__).parents[1] / "data" / "goldens" / "lavie" / "base" / "real_keys.json"
FOLDER = Path(tempfile.mkdtemp())
folder_paths.folder_names_and_paths["lavie"] = ([str(FOLDER)], {".safetensors", ".pt"})


def make_file(kind: str, *, seed: int = 0, about: dict[str, str] | None = None) -> Path:
    """A file of random weights of one of the three."""
    path = FOLDER / f"lavie_{kind}_{seed}.safetensors"
    return write_lavie(path, kind, seed=seed, about=about, library="tune_a_video_pack.tav_core")


def text(prompt: list) -> torch.Tensor:
    return prompt[0][0]


BASE = make_file("base")
MODEL, HOST = load_base(BASE), load_lavie(BASE, "base")
DENOISER = UNetDenoiser(unet=HOST.unet, schedule=HOST.schedule)


def predict(model, latents: torch.Tensor, timestep: float, *, negative=None, cfg: float = 1.0) -> torch.Tensor:
    """Epsilon of a core MODEL."""
    found = []

    def stage(denoiser, given, report):
        found.append(denoiser.epsilon(latents, timestep, denoiser.context))
        return given, None

    samples = latents[0].movedim(1, 0)
    run_stage(model, samples, stage, positive=TARGET, negative=negative, guidance_scale=cfg, num_steps=1, name="Test")
    return found[0]


def expect(latents: torch.Tensor, timestep: float, *, cfg: float = 1.0) -> torch.Tensor:
    """The same on the diffusers host."""
    with torch.no_grad():
        shown = DENOISER.epsilon(latents, timestep, text(TARGET))
        if cfg == 1.0:
            return shown
        empty = DENOISER.epsilon(latents, timestep, text(EMPTY))
        return empty + cfg * (shown - empty)


def noise(frames: int, side: int = 8, seed: int = 1) -> torch.Tensor:
    return torch.randn(1, 4, frames, side, side + 4, generator=torch.Generator().manual_seed(seed))


@contextmanager
def little_memory() -> Iterator[None]:
    """Makes core run each prompt in a batch of its own."""
    usual = comfy.model_management.get_free_memory

    def free(device=None, torch_free_too=False):
        return usual(device, torch_free_too) if torch_free_too else 0

    comfy.model_management.get_free_memory = free
    try:
        yield
    finally:
        comfy.model_management.get_free_memory = usual


def check_hosts() -> dict[str, float]:
    """Core's prediction against the diffusers host's."""
    found = {}
    for frames in (1, 2, 5, 16, 20):
        latents = noise(frames)
        for timestep in (999, 500, 1):
            found[f"{frames} frames at {timestep}"] = far(predict(MODEL, latents, timestep), expect(latents, timestep))
        together = predict(MODEL, latents, 700, negative=EMPTY, cfg=7.5)
        found[f"{frames} frames, guided"] = far(together, expect(latents, 700, cfg=7.5))
        with little_memory():
            apart = predict(MODEL, latents, 700, negative=EMPTY, cfg=7.5)
        found[f"{frames} frames, guided, in two batches"] = far(apart, expect(latents, 700, cfg=7.5))
    return found


def check_batches() -> dict[str, int]:
    """How often the model is run for two prompts: core puts them into one batch, or into two."""
    counts = {}
    for name, memory in (("together", nullcontext()), ("apart", little_memory())):
        calls = []
        counted = MODEL.clone()
        counted.set_model_unet_function_wrapper(
            lambda run, given, calls=calls: (calls.append(1), run_model(run, given))[1]
        )
        with memory:
            predict(counted, noise(2), 700, negative=EMPTY, cfg=7.5)
        counts[name] = len(calls)
    return counts


def run_model(run, given):
    return run(given["input"], given["timestep"], **given["c"])


def check_attentions() -> dict[str, float]:
    """The bias is added under all of core's kinds of attention, and under one that takes none, as flash attention."""
    kinds = {kind: getattr(core_attention, f"attention_{kind}") for kind in ("basic", "split", "sub_quad", "pytorch")}
    kinds["without a bias"] = without_bias
    found, names = {}, ("optimized_attention", "optimized_attention_masked")
    usual = [getattr(core_attention, name) for name in names]
    for kind, attention in kinds.items():
        for name in names:
            setattr(core_attention, name, attention)
        found[kind] = far(predict(MODEL, noise(5), 500), expect(noise(5), 500))
    for name, attention in zip(names, usual, strict=True):
        setattr(core_attention, name, attention)
    return found


def without_bias(*args, mask=None, **given) -> torch.Tensor:
    """PyTorch's attention, which refuses what is added to its logits."""
    assert mask is None, "a bias"
    return core_attention.attention_pytorch(*args, **given)


def scaled(samples: torch.Tensor) -> torch.Tensor:
    """Core's samples as the library's latents."""
    return MODEL.get_model_object("latent_format").process_in(samples).movedim(0, 1)[None]


# With 10 steps, Euler's timesteps are whole; core rounds others.
FRAMES, STEPS, CFG, SEED = 3, 10, 5.0, 7


def check_samplers() -> dict[str, float]:
    """LaVie Steps in SamplerCustom, and pairs of KSampler's, against the library's samplers from the same noise."""
    found, size = {}, {"num_frames": FRAMES, "width": 96, "height": 64}
    for sampler in ("ddim", "euler", "ddpm"):
        config = TextToVideoConfig(**size, num_steps=STEPS, guidance_scale=CFG, sampler=sampler, seed=SEED)
        expected = text_to_video(DENOISER, text(TARGET), text(EMPTY), config=config)
        for scheduler in ("own", "ddim_uniform", "normal"):
            generator = torch.Generator().manual_seed(SEED)
            start = draw_noise(expected.shape, generator)[0].movedim(1, 0)
            given = (start, CFG, *steps_of(sampler, scheduler, generator, expected.shape), TARGET, EMPTY)
            sampled = comfy.sample.sample_custom(MODEL, *given, torch.zeros_like(start), disable_pbar=True, seed=SEED)
            found[f"{sampler}, {scheduler}"] = far(scaled(sampled), expected)
    return found


def steps_of(sampler: str, scheduler: str, generator: torch.Generator, shape: torch.Size):
    """A SAMPLER whose fresh noise comes from the generator, and SIGMAS."""
    own, sigmas = LaVieSteps.execute(sampler, STEPS).args
    if scheduler != "own":
        sigmas = comfy.samplers.calculate_sigmas(MODEL.get_model_object("model_sampling"), scheduler, STEPS)
    if sampler == "ddpm":
        fresh = lambda *_: draw_noise(shape, generator)[0].movedim(1, 0)  # noqa: E731
        own = comfy.samplers.ksampler("ddpm", {"noise_sampler": fresh})
    return own, sigmas


def check_lora() -> dict[str, float]:
    """A LoRA under the usual names, by core's own loader, against the same differences on the diffusers host."""
    places = [
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q",
        "mid_block.attentions.0.transformer_blocks.0",
    ]
    layers = [places[0], f"{places[1]}.ff.net.0.proj", f"{places[1]}.attn1.to_v"]
    lora, generator, unet = {}, torch.Generator().manual_seed(2), copy.deepcopy(HOST.unet)
    for layer in layers:
        weight = unet.get_parameter(f"{layer}.weight")
        down, up = (
            torch.randn(shape, generator=generator) * 0.1 for shape in ((2, weight.shape[1]), (weight.shape[0], 2))
        )
        name = "lora_unet_" + layer.replace(".", "_")
        lora |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(1.0)}
        weight += 0.7 * 0.5 * up @ down
    with_lora, _ = comfy.sd.load_lora_for_models(MODEL, None, lora, 0.7, 0.0)
    latents, host = noise(4), UNetDenoiser(unet=unet, schedule=HOST.schedule)
    return {
        "hosts": far(predict(with_lora, latents, 500), host.epsilon(latents, 500, text(TARGET))),
        "changes": far(predict(with_lora, latents, 500), predict(MODEL, latents, 500)),
        "taken_off": far(predict(MODEL, latents, 500), expect(latents, 500)),
    }


def check_control() -> dict[str, float]:
    """A ControlNet of core's leads the frames, each by its own hint."""
    net, hints = make_controlnet(), torch.rand(4, 64, 96, 3, generator=torch.Generator().manual_seed(3))
    changed = hints.clone()
    changed[2] = 1 - changed[2]

    def led(hint):
        found = []

        def stage(denoiser, given, report):
            found.append(denoiser.epsilon(noise(4), 500, denoiser.context)[0].movedim(1, 0))
            return given, None

        told = with_control(TARGET, net, hint)
        run_stage(MODEL, noise(4)[0].movedim(1, 0), stage, positive=told, num_steps=1, name="Test")
        return found[0]

    plain, other = led(hints), led(changed)
    free = predict(MODEL, noise(4), 500)[0].movedim(1, 0)
    return {"led": far(plain, free), "own_hint": far(other[2], plain[2]), "others": far(other[0], plain[0])}


def check_windows() -> dict[str, float]:
    """Context Windows on LaVie are the library's, without frame 0 in front of each."""
    windows = ContextWindows(length=4, overlap=2, shifting=False)
    patched = add_windows(MODEL, windows)
    with torch.no_grad():
        windowed = WindowedDenoiser(denoiser=DENOISER, windows=windows, anchored=False)
        expected = windowed.epsilon(noise(8), 500, text(TARGET))
    return {"hosts": far(predict(patched, noise(8), 500), expected), "differ": far(expected, expect(noise(8), 500))}


def x4_vae():
    """The x4 upscaler's VAE of random weights, as core's loader recognises it."""
    return comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(write_x4_vae(FOLDER / "x4_vae.safetensors"))))


SCALE = DEMO.model.get_model_object("latent_format").scale_factor
KEYS = torch.rand(3, 48, 64, 3, generator=torch.Generator().manual_seed(5))
WIDGETS = {"prompt": "a bear", "num_steps": 3, "cfg": 4.0}
BETWEEN = {**WIDGETS, "interpolate_seed": 1, "fps": 8.0, "negative": "None", "prompt_suffix": ", 4k."}
BETWEEN |= {"window": 16, "window_overlap": 4, "vae": DEMO.vae, "clip": DEMO.clip}
LARGER = {**WIDGETS, "noise_level": 50, "upscale_seed": 1, "negative": "blur", "chunk": 8, "chunk_overlap": 2}
INTERPOLATION = make_file("interpolation", about={"scaling_factor": str(SCALE)})
UPSCALER = make_file("super_resolution")


def encoded(prompt: str) -> torch.Tensor:
    return DEMO.clip.encode_from_tokens_scheduled(DEMO.clip.tokenize(prompt))[0][0]


def check_interpolation() -> dict[str, float | list | bool]:
    """Interpolate Frames against the library; sizes, windows, what is left of it afterwards."""
    run = lambda images, **more: InterpolateFrames.execute(images, INTERPOLATION.name, **{**BETWEEN, **more}).args  # noqa: E731
    frames, fps = run(KEYS)
    host = load_lavie(INTERPOLATION, "interpolation")
    keys = (core_frames.encode_frames(DEMO.vae, KEYS, on_frame=lambda *_: None) * SCALE).movedim(0, 1)[None]
    config = InterpolateConfig(num_steps=3, guidance_scale=4.0, seed=1)
    told = (encoded("a bear, 4k."), encoded("None"))
    latents = interpolate(UNetDenoiser(unet=host.unet, schedule=host.schedule), keys, *told, config=config)
    expected = core_frames.decode_frames(DEMO.vae, latents[0].movedim(1, 0) / SCALE)
    odd, _ = run(KEYS[:2, :45, :61])
    alpha, _ = run(torch.cat([KEYS, KEYS[..., :1]], dim=-1))
    long, _ = run(KEYS[[0, 1, 2, 1, 0]], window=2, window_overlap=1)
    wordy, _ = run(KEYS[:2], prompt=" ".join(["bear"] * 100))
    return {
        "hosts": far(frames, expected),
        "fps": fps,
        "shapes": [list(each.shape) for each in (frames, odd, alpha, long, wordy)],
        "alpha": bool(torch.equal(alpha, frames)),
        "on_cpu": frames.device.type == "cpu" and frames.dtype == torch.float32,
    }


def check_upscaling() -> dict[str, float | list]:
    """Upscale Video against the library, in one chunk with the input's colors and in several with the model's."""
    vae, found, shapes = x4_vae(), {}, []
    host = load_lavie(UPSCALER, "super_resolution")
    for name, chunk, keeps in (("whole", 8, True), ("chunks", 2, False)):
        small = KEYS[:, :14, :19]
        settings = {**LARGER, "chunk": chunk, "chunk_overlap": 1, "keep_colors": keeps}
        large = UpscaleVideo.execute(small, UPSCALER.name, vae, DEMO.clip, **settings)[0]
        config = UpscaleConfig(num_steps=3, guidance_scale=4.0, seed=1, chunk=chunk, chunk_overlap=1)
        told = (encoded("a bear"), encoded("blur"))
        latents = upscale(UNetDenoiser(unet=host.unet, schedule=host.schedule), small, *told, config=config)
        expected = core_frames.decode_frames(vae, latents[0].movedim(1, 0) / 0.08333)
        found[name] = far(large, keep_colors(expected, small) if keeps else expected)
        shapes.append(list(large.shape))
    return {**found, "shapes": shapes, "spread": large.std().item()}


def check_cancel() -> dict[str, bool | int]:
    """A cancel is heard between steps, and the weights are given back after it and after a whole run."""
    seen, models = [], []
    load = lavie_host.load_lavie

    def remember(*args, **kwargs):
        lavie = load(*args, **kwargs)
        models.append(weakref.ref(lavie.unet))
        return lavie

    def hook(value, total, preview, **kwargs):
        seen.append((value, preview is not None))
        comfy.model_management.interrupt_current_processing(value == 2 and len(models) == 1)

    lavie_host.load_lavie = remember
    comfy.utils.set_progress_bar_global_hook(hook)
    cancelled = False
    try:
        InterpolateFrames.execute(KEYS, INTERPOLATION.name, **{**BETWEEN, "num_steps": 9})
    except comfy.model_management.InterruptProcessingException:
        cancelled = True
    comfy.model_management.interrupt_current_processing(False)
    steps = [value for value, _ in seen]
    InterpolateFrames.execute(KEYS, INTERPOLATION.name, **BETWEEN)
    comfy.utils.set_progress_bar_global_hook(None)
    lavie_host.load_lavie = load
    gc.collect()
    return {
        "cancelled": cancelled,
        "steps": max(steps),
        "previews": all(shown for _, shown in seen),
        "left": sum(model() is not None for model in models),
        "runs": len(models),
    }


def check_real() -> dict[str, int | bool]:
    """The published base: each of its tensors has a place in core's UNet of its size, and none of those is empty."""
    shapes = {name: tuple(shape) for name, shape in json.loads(REAL_KEYS.read_text())["keys"].items()}
    given = {name: shape for name, shape in shapes.items() if not name.endswith(FREQUENCIES)}
    config = comfy.supported_models.SD15(core_config(lavie_unet_config(shapes), REAL_KEYS))
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=torch.device("meta"))
    with torch.device("meta"):
        give_weights(model.diffusion_model)
    own, names = model.diffusion_model.state_dict(), comfy.utils.unet_to_diffusers(config.unet_config)
    found = {ours: tuple(own[theirs].shape) for ours, theirs in names.items() if theirs in own}
    whole = len(found) == len(own)
    for place, path in block_paths({ours: f"diffusion_model.{theirs}" for ours, theirs in names.items()}).items():
        slots = lavie_layer(model.get_submodule(path)).state_dict()
        found |= {place + name: tuple(slot.shape) for name, slot in slots.items()}
    return {"keys": len(shapes), "same": found == given, "whole": whole}


def check_scale() -> dict[str, float]:
    """The factor of the latents is the published one, or the file's."""
    other = load_base(make_file("base", seed=1, about={"scaling_factor": "0.5"}))
    return {
        "usual": MODEL.get_model_object("latent_format").scale_factor,
        "said": other.get_model_object("latent_format").scale_factor,
        "sigma_max": float(MODEL.get_model_object("model_sampling").sigma_max),
    }


def write(name: str, content: bytes) -> str:
    (FOLDER / name).write_bytes(content)
    return name


def check_files() -> dict[str, str | bool]:
    """What the nodes say of files before anything runs."""
    animate = {f"down_blocks.0.motion_modules.0.temporal_transformer.{n}.weight": torch.ones(2, 2) for n in ("a", "b")}
    save_file(animate, FOLDER / "mm_sd_v15.safetensors")
    whole = BASE.read_bytes()
    torch.save({"ema": load_file(BASE)}, FOLDER / "lavie_base.pt")
    pickled = (FOLDER / "lavie_base.pt").read_bytes()
    names = {
        "good": BASE.name,
        "pickle": "lavie_base.pt",
        "interpolation": INTERPOLATION.name,
        "super-resolution": UPSCALER.name,
        "AnimateDiff": "mm_sd_v15.safetensors",
        "truncated": write("short.safetensors", whole[: len(whole) // 2]),
        "truncated pickle": write("short.pt", pickled[: len(pickled) // 2]),
        "a web page": write("page.pt", b"<!DOCTYPE html><html>404</html>"),
        "gone": "gone.pt",
        "outside": "../" * 8 + "etc/passwd",
    }
    ask = lambda node, *given: asyncio.run(node.validate_inputs(*given))  # noqa: E731
    said = {name: ask(LoadLaVie, file) for name, file in names.items()}
    said["base for interpolation"] = ask(InterpolateFrames, BASE.name)
    said["interpolation for upscaling"] = ask(UpscaleVideo, INTERPOLATION.name)
    said["windows"] = ask(InterpolateFrames, INTERPOLATION.name, 4, 4)
    said["chunks"] = ask(UpscaleVideo, UPSCALER.name, 8, 2)
    return said


def check_refusals() -> dict[str, str]:
    """What is said of graphs that make no sense."""
    cut = load_file(BASE)
    del cut["mid_block.attentions.0.transformer_blocks.0.attn_temp.to_q.weight"]
    save_file(cut, FOLDER / "cut.safetensors")
    cut = load_file(BASE)
    del cut["conv_out.bias"]
    save_file(cut, FOLDER / "cut_2d.safetensors")
    broken = load_file(BASE)
    broken["conv_in.weight"][0, 0, 0, 0] = torch.nan
    save_file(broken, FOLDER / "broken.safetensors")
    between = lambda images, **more: InterpolateFrames.execute(images, INTERPOLATION.name, **{**BETWEEN, **more})  # noqa: E731
    large = {"vae": x4_vae(), "clip": DEMO.clip, **LARGER}
    return {
        "temporal weight missing": refusal(lambda: LoadLaVie.execute("cut.safetensors")),
        "weight missing": refusal(lambda: LoadLaVie.execute("cut_2d.safetensors")),
        "not finite": refusal(lambda: LoadLaVie.execute("broken.safetensors")),
        "one frame": refusal(lambda: between(KEYS[:1])),
        "4x VAE": refusal(lambda: between(KEYS, vae=x4_vae())),
        "no VAE": refusal(lambda: between(KEYS, vae=None)),
        "no CLIP": refusal(lambda: between(KEYS, clip=None)),
        "8x VAE": refusal(lambda: UpscaleVideo.execute(KEYS, UPSCALER.name, **{**large, "vae": DEMO.vae})),
        "wrong file": refusal(lambda: UpscaleVideo.execute(KEYS, BASE.name, **large)),
        "a motion": refusal(lambda: core_motion.apply_motion(MODEL, make_motion(1))),
        "Cross-Frame Model": refusal(lambda: CrossFrameModel.execute(MODEL, "first")),
    }


CHECKS = {
    "hosts": check_hosts,
    "batches": check_batches,
    "attentions": check_attentions,
    "samplers": check_samplers,
    "lora": check_lora,
    "control": check_control,
    "windows": check_windows,
    "interpolation": check_interpolation,
    "upscaling": check_upscaling,
    "cancel": check_cancel,
    "real": check_real,
    "scale": check_scale,
    "files": check_files,
    "refusals": check_refusals,
}

if __name__ == "__main__":
    report(CHECKS)
