"""What injection does on the ComfyUI host, measured inside a ComfyUI process as host_checks.py does; prints JSON.

Usage: COMFYUI_PATH=... python injection_checks.py
"""

from __future__ import annotations

import dataclasses
from functools import partial

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
    core_demo,
    far,
    make_controlnet,
    make_motion,
    refusal,
    report,
    scaled,
    with_control,
)

# After host_checks, which sets ComfyUI up.
import comfy.model_management  # isort: skip
import comfy.patcher_extension  # isort: skip
import comfy.sample  # isort: skip
import comfy.samplers  # isort: skip
import torch  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.sampling.context_windows import ContextWindows  # isort: skip
from tune_a_video_pack.nodes.sampling.inject_source import InjectSource  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.tav_core.denoisers import windows as core  # isort: skip
from tune_a_video_pack.tav_core.denoisers.denoiser import UNetDenoiser  # isort: skip
from tune_a_video_pack.tav_core.sampling.edit import edit  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import EditConfig  # isort: skip
from tune_a_video_pack.tav_core.sampling.injection import InjectedDenoiser  # isort: skip
from tune_a_video_pack.tav_core.sampling.config import InjectionConfig  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip
from tune_a_video_pack.tav_core.video.clip import read_clip  # isort: skip

MOTION = make_motion(1)
with torch.inference_mode():
    TUNED = core_motion.apply_motion(DEMO.model, MOTION)
    INVERTED, TRAJECTORY, NOISE, SIGMAS = DDIMInvert.execute(TUNED, EMPTY, LATENT, NUM_STEPS).args
LENGTH, OVERLAP, LONG = 4, 1, 8
# On the demo's decoder of six layers injection begins at the third: weights of its query and its convolution.
PREFIX = "diffusion_model.output_blocks"
INJECTED = (f"{PREFIX}.2.1.transformer_blocks.0.attn1.to_q.weight", f"{PREFIX}.2.0.out_layers.3.weight")


def inject(model, trajectory=TRAJECTORY, *, attention=0.5, features=0.8, conditioning=EMPTY):
    return InjectSource.execute(model, trajectory, conditioning, attention, features, 4)[0]


def render(model, *, positive=TARGET, negative=EMPTY, latent=INVERTED, cfg=4.0, num_steps=NUM_STEPS) -> torch.Tensor:
    given = {"num_steps": num_steps, "cfg": cfg, "eta": 0.0, "edit_seed": 1}
    return SampleEdit.execute(model, positive, negative, latent, **given)[0]["samples"]


# Fewer steps than the inversion had: the source is then taken from between its steps.
quick = partial(render, num_steps=3)


def host_edit(trajectory, *, cfg: float = 4.0, windows: core.ContextWindows | None = None) -> torch.Tensor:
    """The same edit on the diffusers host."""
    host = UNetDenoiser(unet=MOTION.apply_to(CHECKPOINT.unet), schedule=CHECKPOINT.schedule)
    host = core.WindowedDenoiser(denoiser=host, windows=windows) if windows else host
    empty, target = encode_prompt(CHECKPOINT, ""), encode_prompt(CHECKPOINT, EDITED)
    injected = InjectedDenoiser(denoiser=host, trajectory=trajectory, source_context=empty, config=InjectionConfig())
    return edit(injected, trajectory, target, empty, config=EditConfig(num_steps=NUM_STEPS, guidance_scale=cfg))


def stock(model, sampler: str, sigmas: torch.Tensor) -> torch.Tensor:
    """core's sampler from the inverted latent."""
    args = (4.0, comfy.samplers.sampler_object(sampler), sigmas, TARGET, EMPTY, SAMPLES)
    return comfy.sample.sample_custom(model, NOISE.generate_noise(LATENT), *args, disable_pbar=True, seed=1)


def check_agreement() -> dict[str, float]:
    """Our nodes and the stock samplers on core against the diffusers host."""
    injected, plain = inject(TUNED), render(TUNED)
    ours, between = render(injected), torch.lerp(SIGMAS[:-1], SIGMAS[1:], 0.5)
    finer = torch.cat([SIGMAS, between]).sort(descending=True).values
    return {
        "edit": far(scaled(ours), host_edit(TRAJECTORY)),
        "without_guidance": far(scaled(render(injected, cfg=1.0)), host_edit(TRAJECTORY, cfg=1.0)),
        "changes": far(ours, plain),
        "stock_ddim": far(stock(injected, "ddim", SIGMAS), ours),
        "stock_changes": far(stock(injected, "dpmpp_2m", finer), stock(TUNED, "dpmpp_2m", finer)),
        "none_equal": torch.equal(render(inject(TUNED, attention=0, features=0)), plain),
    }


def check_patches() -> dict[str, bool | float]:
    """Taking the source off, building it while another clone is loaded, and LoRAs on the layers that share."""
    comfy.model_management.unload_all_models()
    before = {name: t.clone() for name, t in DEMO.model.model.state_dict().items()}
    plain, cold = quick(TUNED), inject(TUNED)
    first = quick(cold)
    back, again = quick(TUNED), quick(cold)
    quick(TUNED)
    warm = quick(inject(TUNED))
    deltas = {
        n: ("diff", (0.1 * torch.randn(before[n].shape, generator=torch.Generator().manual_seed(3)),)) for n in INJECTED
    }
    lora_first, lora_last = DEMO.model.clone(), inject(TUNED)
    lora_first.add_patches(deltas)
    taken = lora_last.add_patches(deltas)
    early = quick(inject(core_motion.apply_motion(lora_first, MOTION)))
    late = quick(lora_last)
    while_lora = quick(inject(TUNED))
    comfy.model_management.unload_all_models()
    after = DEMO.model.model.state_dict()
    return {
        "plain_back": torch.equal(plain, back),
        "again": torch.equal(first, again),
        "warm_equal": torch.equal(first, warm),
        "lora_keys": sorted(taken) == sorted(INJECTED),
        "lora_changes": far(late, first),
        "lora_order": far(late, early),
        "lora_gone": torch.equal(while_lora, first),
        "weights_back": before.keys() == after.keys() and all(torch.equal(t, after[n]) for n, t in before.items()),
        "types_back": not any("Shared" in type(m).__name__ for m in DEMO.model.model.modules()),
    }


def check_windows() -> dict[str, float]:
    """A clip longer than a window, windows before and after the source."""
    frames = read_clip(core_demo.CLIP, num_frames=LONG, width=96, height=96).frames
    windowed = ContextWindows.execute(TUNED, LENGTH, OVERLAP)[0]
    inverted, trajectory, *_ = DDIMInvert.execute(windowed, EMPTY, {"samples": DEMO.vae.encode(frames)}, NUM_STEPS).args
    expected = host_edit(trajectory, windows=core.ContextWindows(length=LENGTH, overlap=OVERLAP))
    after = inject(windowed, trajectory)
    before = ContextWindows.execute(inject(TUNED, trajectory), LENGTH, OVERLAP)[0]
    return {
        "windows_before": far(scaled(render(after, latent=inverted)), expected),
        "windows_after": far(scaled(render(before, latent=inverted)), expected),
    }


def check_conditions() -> dict[str, float | list[int]]:
    """ControlNets, prompts of other lengths, and core running the prompts one after the other."""
    injected, net = inject(TUNED), make_controlnet()
    hint = torch.rand(CLIP.shape, generator=torch.Generator().manual_seed(2))
    # One ControlNet for both prompts, or core would not run them in one batch.
    positive = with_control(TARGET, net, hint)
    control = {"positive": positive, "negative": [[text, positive[0][1]] for text, _ in EMPTY]}
    seen = watch(injected)
    plain, batches = quick(injected), seen.copy()
    seen.clear()
    controlled, controlled_batches = quick(injected, **control), seen.copy()
    seen.clear()
    # core then thinks that two prompts at once do not fit.
    DEMO.model.model.memory_required = lambda *args, **kwargs: 1e20
    try:
        apart = quick(injected)
    finally:
        del DEMO.model.model.memory_required
    first, (_, first_source), (_, same_source) = controlled_batches[0][0], batches[0], controlled_batches[0]
    return {
        "batches": [rows for rows, _ in batches],
        "batches_apart": [rows for rows, _ in seen],
        "batch_controlled": first,
        "control_changes": far(controlled, plain),
        "source_without_control": far(same_source, first_source),
        "longer_prompt": far(quick(injected, positive=longer(TARGET)), plain),
        "longer_source": far(quick(inject(TUNED, conditioning=longer(EMPTY))), plain),
        "apart": far(apart, plain),
    }


def longer(conditioning: list) -> list:
    """The same text twice, which attention takes for the same."""
    return [[torch.cat([text, text], dim=1), extras] for text, extras in conditioning]


def watch(model) -> list[tuple[int, torch.Tensor]]:
    """Puts a watch on a MODEL: the images of each batch that its UNet will see, and what comes out for the first
    video."""
    seen = []

    def look(executor, x, *args, **kwargs):
        output = executor(x, *args, **kwargs)
        seen.append((len(x), output[: len(SAMPLES)].clone()))
        return output

    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "watch", look)
    return seen


def check_refusals() -> dict[str, str]:
    """What cannot be injected."""
    ends = dataclasses.replace(TRAJECTORY, latents=TRAJECTORY.latents[[0, -1]])
    wide = [[torch.zeros(1, 77, 768), {}]]
    fewer = {"samples": INVERTED["samples"][:3]}
    area = [[text, {**extras, "area": (6, 6, 0, 0), "strength": 1.0}] for text, extras in TARGET]
    return {
        "without a motion": refusal(lambda: inject(DEMO.model)),
        "twice": refusal(lambda: inject(inject(TUNED))),
        "the two ends": refusal(lambda: inject(TUNED, ends)),
        "another family's text": refusal(lambda: inject(TUNED, conditioning=wide)),
        "fewer frames": refusal(lambda: quick(inject(TUNED), latent=fewer)),
        "a part of the picture": refusal(lambda: quick(inject(TUNED), positive=area)),
    }


CHECKS = {
    "agreement": check_agreement,
    "patches": check_patches,
    "windows": check_windows,
    "conditions": check_conditions,
    "refusals": check_refusals,
}

if __name__ == "__main__":
    report(CHECKS)
