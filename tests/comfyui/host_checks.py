"""What the ComfyUI host does, measured inside a ComfyUI process; prints one JSON object. Run by test_host.py.

Usage: COMFYUI_PATH=... python host_checks.py
"""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

PACK = Path(__file__).resolve().parents[2]
sys.path.insert(0, os.environ["COMFYUI_PATH"])
sys.argv = sys.argv[:1]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing(False)
from comfy.cli_args import args  # noqa: E402

args.cpu = True

import comfy.cldm.cldm  # noqa: E402
import comfy.controlnet  # noqa: E402
import comfy.lora  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.ops  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.samplers  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.supported_models  # noqa: E402
import comfy.utils  # noqa: E402
import dynamic_vram  # noqa: E402
import torch  # noqa: E402

NUM_FRAMES, NUM_STEPS, SIDE = 5, 6, 12
if os.environ.get("COMFYUI_DYNAMIC_VRAM") and dynamic_vram.can_emulate(Path(os.environ["COMFYUI_PATH"])):
    dynamic_vram.emulate()


def load_pack(name: str = "tune_a_video_pack"):
    """The pack, imported as ComfyUI imports it."""
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py", submodule_search_locations=[str(PACK)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


load_pack()
from tune_a_video_pack.nodes.core import demo as core_demo  # noqa: E402
from tune_a_video_pack.nodes.core import motion as core_motion  # noqa: E402
from tune_a_video_pack.nodes.core import unet as core_unet  # noqa: E402
from tune_a_video_pack.nodes.core.patchers import give_weights  # noqa: E402
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # noqa: E402
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # noqa: E402
from tune_a_video_pack.nodes.tuning.apply_motion import ApplyMotion  # noqa: E402
from tune_a_video_pack.tav_core.checkpoints.load import load_checkpoint  # noqa: E402
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # noqa: E402
from tune_a_video_pack.tav_core.errors import TavError  # noqa: E402
from tune_a_video_pack.tav_core.models.families import describe_architecture  # noqa: E402
from tune_a_video_pack.tav_core.models.latents import encode_frames  # noqa: E402
from tune_a_video_pack.tav_core.models.text import encode_prompt  # noqa: E402
from tune_a_video_pack.tav_core.models.unet import InflatedUNet  # noqa: E402
from tune_a_video_pack.tav_core.sampling.config import EditConfig  # noqa: E402
from tune_a_video_pack.tav_core.sampling.edit import edit  # noqa: E402
from tune_a_video_pack.tav_core.sampling.invert import invert  # noqa: E402
from tune_a_video_pack.tav_core.tuning.motion import Motion, hash_base  # noqa: E402
from tune_a_video_pack.tav_core.tuning.motion_info import MotionInfo  # noqa: E402
from tune_a_video_pack.tav_core.video.clip import read_clip  # noqa: E402

DEMO = core_demo.load_demo()
CHECKPOINT = load_checkpoint(core_demo.MODEL)
CLIP = read_clip(core_demo.CLIP, num_frames=NUM_FRAMES, width=96, height=96).frames
PROMPT, EDITED = "a rabbit is running on the meadow", "a cat is running in the snow"


def make_motion(seed: int, *, silent: bool = False, **modes) -> Motion:
    """A motion of random weights for the demo model; a silent one changes nothing."""
    generator = torch.Generator().manual_seed(seed)
    unet = InflatedUNet.from_2d(CHECKPOINT.unet, seed=seed)
    noise = lambda t: torch.randn(t.shape, generator=generator)  # noqa: E731
    temporal = {n: t.clone() for n, t in unet.temporal_state().items()}
    scale = 0.0 if silent else 0.03
    loud = {n: t + scale * noise(t) for n, t in temporal.items()}
    queries = [
        n for n, _ in CHECKPOINT.unet.named_parameters() if n.endswith(("attn1.to_q.weight", "attn2.to_q.weight"))
    ]
    deltas = {n: scale * noise(CHECKPOINT.unet.get_parameter(n)) for n in queries}
    info = MotionInfo(
        architecture=describe_architecture(CHECKPOINT.unet),
        base_hash=hash_base(CHECKPOINT.unet),
        modes={"attention": "sparse_causal", "attention_k": 2, "group_norm": "clip", **modes},
    )
    return Motion(deltas=deltas, temporal=loud, info=info)


def encode(text: str) -> list:
    return DEMO.clip.encode_from_tokens_scheduled(DEMO.clip.tokenize(text))


def far(got: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return ((got - expected).abs().max() / expected.abs().max()).item()


def scaled(samples: torch.Tensor) -> torch.Tensor:
    """A LATENT's samples as the library's latents, `1 c f h w`."""
    return DEMO.model.get_model_object("latent_format").process_in(samples).movedim(0, 1)[None]


SAMPLES = DEMO.vae.encode(CLIP)
LATENT = {"samples": SAMPLES}
SOURCE, EMPTY, TARGET = encode(PROMPT), encode(""), encode(EDITED)


def render(model, latent=None) -> torch.Tensor:
    """A short edit from one inverted latent, on a MODEL."""
    start = latent or {"samples": torch.randn(SAMPLES.shape, generator=torch.Generator().manual_seed(5))}
    given = {"num_steps": NUM_STEPS, "cfg": 4.0, "eta": 0.0, "edit_seed": 1}
    return SampleEdit.execute(model, TARGET, EMPTY, start, **given)[0]["samples"]


def check_parts() -> dict[str, float]:
    """The demo model in core against the same files in diffusers and transformers."""
    text = encode_prompt(CHECKPOINT, PROMPT)
    moments = encode_frames(CHECKPOINT.vae, CLIP)
    decoded = CHECKPOINT.vae.decode(moments.mean[0, :, :1].movedim(1, 0) / CHECKPOINT.vae.config.scaling_factor).sample
    pixels = ((decoded + 1) / 2).clamp(0, 1).movedim(1, -1)
    core_unet_weights = core_unet.read_unet(DEMO.model, dtype=torch.float32, device=torch.device("cpu")).state_dict()
    same = all(torch.equal(t, core_unet_weights[n]) for n, t in CHECKPOINT.unet.state_dict().items())
    return {
        "text": far(SOURCE[0][0], text.text),
        "latents": far(scaled(SAMPLES), moments.mean),
        "pixels": far(DEMO.vae.decode(SAMPLES[:1]), pixels),
        "unet_read_back_equal": same,
        "hash_equal": core_motion.same_base(DEMO.model, make_motion(0)),
    }


# Weights, escapes, and prompts of two and three parts, in the words of the demo's model.
PROMPTS = (
    "a (rabbit:1.4) is running on the meadow",
    "(a (rabbit:1.3) is running:0.7) on the (meadow, sketch style:-0.5)",
    r"a \(rabbit\) is running on (the \(meadow\):1.2)",
    ", ".join([PROMPT] * 12),
    ", ".join([PROMPT] * 12 + ["(a cat:1.3)"] * 9 + [EDITED] * 6),
    " ".join(["rabbit"] * 73) + " (a cat:1.2)",
)


def check_prompts() -> dict[str, float]:
    """Our reading of each of PROMPTS against that of core's CLIP Text Encode."""
    return {text: far(encode_prompt(CHECKPOINT, text, long_prompts=True).text, encode(text)[0][0]) for text in PROMPTS}


def check_agreement() -> dict[str, float]:
    """Inversion and sampling: our nodes on core, the diffusers host, and core's own DDIM on one clip."""
    motion = make_motion(1)
    tuned = core_motion.apply_motion(DEMO.model, motion)
    host = UNetDenoiser(unet=motion.apply_to(CHECKPOINT.unet), schedule=CHECKPOINT.schedule)
    latents = encode_frames(CHECKPOINT.vae, CLIP).mean
    empty, target = encode_prompt(CHECKPOINT, ""), encode_prompt(CHECKPOINT, EDITED)
    expected = invert(host, latents, empty, num_steps=NUM_STEPS)
    inverted, trajectory, noise, sigmas = DDIMInvert.execute(tuned, EMPTY, LATENT, NUM_STEPS).args
    config = EditConfig(num_steps=NUM_STEPS, guidance_scale=4.0)
    rendered = edit(host, expected, target, empty, config=config)
    given = {"num_steps": NUM_STEPS, "cfg": 4.0, "eta": 0.0, "edit_seed": 1, "trajectory": trajectory}
    ours = SampleEdit.execute(tuned, TARGET, EMPTY, inverted, **given)[0]["samples"]
    mixed = edit(host, expected, target, empty, config=EditConfig(**{**vars(config), "noise_prior": 0.6, "seed": 1}))
    ours_mixed = SampleEdit.execute(tuned, TARGET, EMPTY, inverted, **given, noise_prior=0.6)[0]["samples"]
    sampler = comfy.samplers.sampler_object("ddim")
    stock = comfy.sample.sample_custom(
        tuned, noise.generate_noise(LATENT), 4.0, sampler, sigmas, TARGET, EMPTY, SAMPLES, disable_pbar=True, seed=1
    )
    return {
        "trajectory": far(trajectory.latents, expected.latents),
        "edit": far(scaled(ours), rendered),
        "mixed": far(scaled(ours_mixed), mixed),
        "mixed_differs": far(mixed, rendered),
        "stock_ddim": far(stock, ours),
    }


def check_patches() -> dict[str, float | bool]:
    """Taking the motion off, two motions, LoRAs before and after, one frame, the given MODEL."""
    comfy.model_management.unload_all_models()
    before = {n: t.clone() for n, t in DEMO.model.model.state_dict().items()}
    plain = render(DEMO.model)
    one, two = (
        core_motion.apply_motion(DEMO.model, make_motion(1)),
        core_motion.apply_motion(DEMO.model, make_motion(2)),
    )
    first, second, first_again = render(one), render(two), render(one)
    while_loaded = render(core_motion.apply_motion(DEMO.model, make_motion(2)))
    comfy.model_management.unload_all_models()
    after = DEMO.model.model.state_dict()
    query = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_v.weight"
    delta = 0.1 * torch.randn(before[query].shape, generator=torch.Generator().manual_seed(3))
    with_lora = DEMO.model.clone()
    with_lora.add_patches({query: ("diff", (delta,))})
    lora_first = render(core_motion.apply_motion(with_lora, make_motion(1)))
    lora_last = core_motion.apply_motion(DEMO.model, make_motion(1))
    taken = lora_last.add_patches({query: ("diff", (delta,))})
    silent = core_motion.apply_motion(DEMO.model, make_motion(1, silent=True))
    frame = {"samples": torch.randn(1, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(7))}
    off = {"strength": 0, "temporal_strength": 0, "attention": "spatial", "group_norm": "frame"}
    read = core_unet.read_unet(with_lora, dtype=torch.float32, device=torch.device("cpu"))
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v.weight"
    return {
        "weights_back": all(torch.equal(t, after[n]) for n, t in before.items()) and before.keys() == after.keys(),
        "plain_back": torch.equal(plain, render(DEMO.model)),
        "two_differ": far(first, second),
        "while_loaded": torch.equal(while_loaded, second),
        "first_again": torch.equal(first, first_again),
        "motion_changes": far(first, plain),
        "lora_key_found": taken == [query],
        "lora_changes": far(lora_first, first),
        "lora_order": far(render(lora_last), lora_first),
        "one_frame": far(render(silent, frame), render(DEMO.model, frame)),
        "lora_read_once": far(read.get_parameter(name), before[query] + delta),
        "nothing_left": far(render(core_motion.apply_motion(DEMO.model, make_motion(1), **off)), plain),
    }


def check_modes() -> dict[str, bool]:
    """Frame i of the core host changes with exactly the frames that its mode names."""
    from tune_a_video_pack.tav_core.models.attention_modes import MODES, visible_frames

    found = {}
    for mode in MODES:
        model = core_motion.apply_motion(DEMO.model, make_motion(1, silent=True), attention=mode, group_norm="frame")
        comfy.model_management.load_models_gpu([model])
        base = torch.randn(NUM_FRAMES, 64, 64, generator=torch.Generator().manual_seed(1))
        block = comfy.utils.get_attr(model.model, "diffusion_model.input_blocks.1.1.transformer_blocks.0")
        block.frames.value = NUM_FRAMES
        plain, seen = block.attn1(base), [set() for _ in range(NUM_FRAMES)]
        for changed in range(NUM_FRAMES):
            other = base.clone()
            other[changed] += 1
            moved = (block.attn1(other) - plain).abs().amax((1, 2)) > 1e-6
            for frame in range(NUM_FRAMES):
                if moved[frame]:
                    seen[frame].add(changed)
        # A frame's own query moves its output whatever it looks at.
        expected = [{*frames, i} for i, frames in enumerate(visible_frames(mode, NUM_FRAMES))]
        found[mode] = seen == expected
        comfy.model_management.unload_all_models()
    return found


def make_controlnet():
    """core's ControlNet at the demo's size, with random weights."""
    config = {k: v for k, v in core_demo.UNET_CONFIG.items() if k not in ("out_channels", "transformer_depth_output")}
    torch.manual_seed(0)
    net = comfy.cldm.cldm.ControlNet(
        **{**config, "num_heads": 8, "hint_channels": 3, "operations": comfy.ops.manual_cast, "dtype": torch.float32}
    )
    for parameter in give_weights(net).parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return comfy.controlnet.ControlNet(net, load_device=torch.device("cpu"), manual_cast_dtype=None)


def with_control(conditioning: list, net, hint: torch.Tensor) -> list:
    """Conditioning with a ControlNet on it, as core's node puts it there."""
    control = net.copy().set_cond_hint(hint.movedim(-1, 1), 1.0, (0.0, 1.0))
    return [[text, {**extras, "control": control, "control_apply_to_uncond": True}] for text, extras in conditioning]


def check_stock() -> dict[str, float | bool]:
    """ControlNet on a batch of frames, noise masks and the stock samplers on a tuned MODEL."""
    tuned = core_motion.apply_motion(DEMO.model, make_motion(1))
    net = make_controlnet()
    given = {"num_steps": 3, "cfg": 4.0, "eta": 0.0, "edit_seed": 1}
    start = {"samples": torch.randn(SAMPLES.shape, generator=torch.Generator().manual_seed(5))}
    sample = lambda hint: SampleEdit.execute(  # noqa: E731
        tuned, with_control(TARGET, net, hint), with_control(EMPTY, net, hint), start, **given
    )[0]["samples"]
    plain = SampleEdit.execute(tuned, TARGET, EMPTY, start, **given)[0]["samples"]
    hint = torch.rand(CLIP.shape, generator=torch.Generator().manual_seed(2))
    controlled, reversed_hint = sample(hint), sample(hint.flip(0))
    mask = torch.zeros(1, 1, 96, 96)
    mask[..., 48:] = 1
    finite = {}
    for name, scheduler in (
        ("ddim", "ddim_uniform"),
        ("euler", "normal"),
        ("dpmpp_2m", "karras"),
        ("uni_pc", "simple"),
    ):
        noise = comfy.sample.prepare_noise(SAMPLES, 1)
        args = {"denoise": 0.8, "disable_pbar": True, "seed": 1, "noise_mask": mask}
        out = comfy.sample.sample(tuned, noise, 4, 4.0, name, scheduler, TARGET, EMPTY, SAMPLES, **args)
        finite[name] = bool(torch.isfinite(out).all()) and out.shape == SAMPLES.shape
        outside = far(out[..., :6], SAMPLES[..., :6])
    return {
        "control_changes": far(controlled, plain),
        "control_by_frame": far(reversed_hint, controlled),
        "outside_mask": outside,
        **{f"sampler_{name}": fine for name, fine in finite.items()},
    }


def refusal(run) -> str:
    """What an error says."""
    try:
        run()
    except TavError as error:
        return str(error)
    return "nothing was refused"


def check_refusals() -> dict[str, str]:
    """Motions and models that do not fit."""
    motion = make_motion(1)
    other = copy.deepcopy(motion.info.architecture) | {"cross_attention_dim": 768}
    wider = Motion(deltas=motion.deltas, temporal=motion.temporal, info=copy.copy(motion.info))
    object.__setattr__(wider.info, "architecture", other)
    tuned = core_motion.apply_motion(DEMO.model, motion)
    fewer = Motion(deltas=motion.deltas, temporal={}, info=motion.info)
    masked = {**LATENT, "noise_mask": torch.ones(1, 1, 96, 96)}
    apply = lambda model, it: ApplyMotion.execute(model, it, 1.0, 1.0, "as tuned")  # noqa: E731
    sdxl = comfy.supported_models.SDXL({**core_demo.UNET_CONFIG, "num_classes": "sequential", "adm_in_channels": 16})
    sdxl.set_inference_dtype(torch.float32, None)
    cpu = torch.device("cpu")
    wide = comfy.model_patcher.ModelPatcher(give_weights(sdxl.get_model({}, "")), cpu, cpu)
    return {
        "SDXL": refusal(lambda: apply(wide, motion)),
        "another architecture": refusal(lambda: apply(DEMO.model, wider)),
        "twice": refusal(lambda: apply(tuned, motion)),
        "without temporal weights": refusal(lambda: apply(DEMO.model, fewer)),
        "a mask": refusal(lambda: DDIMInvert.execute(tuned, EMPTY, masked, 5)),
        "a 5-D latent": refusal(lambda: DDIMInvert.execute(tuned, EMPTY, {"samples": SAMPLES[None]}, 5)),
    }


def report(checks: Mapping[str, Callable[[], object]]) -> None:
    """Runs checks as ComfyUI runs nodes, and prints what they found: the end of each script of checks."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        results = {name: check() for name, check in checks.items()}
    print("RESULTS " + json.dumps(results))


CHECKS = {
    "parts": check_parts,
    "prompts": check_prompts,
    "agreement": check_agreement,
    "patches": check_patches,
    "modes": check_modes,
    "stock": check_stock,
    "refusals": check_refusals,
}

if __name__ == "__main__":
    report(CHECKS)
