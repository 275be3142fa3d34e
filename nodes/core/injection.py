"""Injection on a core MODEL: the source is one more video at the front of each batch that its UNet sees.

A wrapper around the model puts the source's rows in front of a batch and cuts them off its output. So injection works
in every sampler, and a ControlNet, which has already run by then, acts on the edit alone. The layers that share are
re-cast as in the library, in copies of the blocks that belong to this clone alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from comfy.patcher_extension import WrappersMP
from einops import rearrange, repeat
from torch import Tensor

from ...tav_core.errors import ConfigError
from ...tav_core.models.inflation import TemporalLayer, recast
from ...tav_core.sampling.config import PAPER_LEVELS
from ...tav_core.sampling.injection import FirstForAll, Switch, check_same_size, check_source, source_at
from ..sockets.bridge import check_context, text_width
from ..sockets.told import pooled_width
from .inflation import twin_of
from .motion import check_carries_motion
from .sizes import encode_told
from .unet import PREFIX, is_xl, read_schedule
from .windows import WINDOW

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...tav_core.models.conditioning import Conditioning
    from ...tav_core.models.schedule import NoiseSchedule
    from ...tav_core.sampling.config import Injected, InjectionConfig
    from ...tav_core.sampling.trajectory import Trajectory

KEY = "tune_a_video_injection"
# ComfyUI's number of the negative prompt: what other packs do to the positive one alone is not done to the source.
UNCONDITIONAL, SOURCE_ID = 1, "tune_a_video_source"


@dataclass(kw_only=True)
class Source:
    """The video that is injected into a MODEL, and the switches of the layers that take from it."""

    trajectory: Trajectory
    context: Conditioning
    config: InjectionConfig
    schedule: NoiseSchedule
    attention: Switch
    features: Switch

    def switch(self, injected: Injected) -> None:
        self.attention.on, self.features.on = injected


def add_injection(
    model: ModelPatcher, trajectory: Trajectory, context: Conditioning, config: InjectionConfig
) -> ModelPatcher:
    """A clone of a MODEL that takes attention and features from a source's inversion.

    Args:
        trajectory: the source's inversion with all its steps, as DDIM Invert gives it.
        context: the prompt that the source was inverted under.

    Raises:
        MotionError: there is no motion on the MODEL, so its batches are not videos.
        ConfigError: the MODEL already has an injection, or the text is of another family.
        LatentsError: the trajectory lacks steps.
    """
    check_injectable(model)
    check_source(trajectory)
    check_context(context, text_width(model), "conditioning", pooled=pooled_width(model))
    source = Source(
        trajectory=trajectory,
        context=context,
        config=config,
        schedule=read_schedule(model),
        attention=Switch(),
        features=Switch(),
    )
    patched = model.clone()
    share_layers(patched, source)
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, partial(run_with_source, source))
    patched.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, KEY, ask_for_three)
    return patched


def check_injectable(model: ModelPatcher) -> None:
    """Checks that a MODEL has a motion and no injection yet.

    Raises:
        MotionError, ConfigError: see `add_injection`.
    """
    check_carries_motion(model)
    if any(isinstance(patch, FirstForAll) for patch in model.object_patches.values()):
        raise ConfigError(
            got="a MODEL with a source on it already",
            expected="at most one source",
            mend="Connect the MODEL from in front of the other Inject Source.",
        )


def share_layers(patched: ModelPatcher, source: Source) -> None:
    """Patches the chosen layers of the decoder; see `tav_core.sampling.injection.inject_unet`."""
    layers = len(patched.model.diffusion_model.output_blocks)
    # Small models of 1.x and 2.x with fewer levels scale the number; Stable Diffusion XL lacks the coarsest level.
    levels = len(patched.model.model_config.unet_config["channel_mult"]) if is_xl(patched) else PAPER_LEVELS
    first = source.config.first_of(layers, num_levels=levels)
    blocks = {path: patch for path, patch in patched.object_patches.items() if isinstance(patch, TemporalLayer)}
    frames = next(iter(blocks.values())).frames
    conv = f"{PREFIX}output_blocks.{first}.0.out_layers.3"
    like_first = {"frames": frames, "switch": source.features}
    patched.add_object_patch(conv, twin_of(patched.get_model_object(conv), FirstForAll, **like_first))
    chosen = tuple(f"{PREFIX}output_blocks.{layer}." for layer in range(first, layers))
    for path, block in blocks.items():
        if path.startswith(chosen):
            # Another clone has this block too: what changes is put into copies, and it and its attention stay.
            own, attn1 = recast(block, type(block)), recast(block.attn1, type(block.attn1))
            own._modules["attn1"] = attn1
            for name in ("to_q", "to_k"):
                layer = attn1._modules[name]
                attn1._modules[name] = twin_of(layer, FirstForAll, frames=frames, switch=source.attention)
            patched.add_object_patch(path, own)


def ask_for_three(executor: Callable, model: ModelPatcher, noise_shape: Any, *args: Any, **kwargs: Any) -> Any:
    """Wraps ComfyUI's loading of models: memory is kept free for three videos instead of two."""
    return executor(model, [math.ceil(noise_shape[0] * 1.5), *noise_shape[1:]], *args, **kwargs)


def run_with_source(
    source: Source,
    executor: Callable[..., Tensor],
    x: Tensor,
    t: Tensor,
    c_concat: Tensor | None = None,
    c_crossattn: Tensor | None = None,
    control: dict[str, list] | None = None,
    transformer_options: dict[str, Any] | None = None,
    **conditions: Any,
) -> Tensor:
    """Wraps ComfyUI's `apply_model`: the denoised frames `(n f) c h w` of a batch, run with the source in front.

    Args:
        x, t: noisy latents `(n f) c h w` as x_0 + sigma noise, and sigma, one value per row.
        conditions: the other arguments that ComfyUI passes, one value per row or one for all.

    Raises:
        LatentsError: the batch has another number of frames or another size than the source.
    """
    options, others = transformer_options or {}, {"c_concat": c_concat, **conditions}
    timestep = float(executor.class_obj.model_sampling.timestep(t[:1]))
    injected = source.config.at(timestep, source.trajectory.timesteps)
    if not any(injected):
        return executor(x, t, c_concat, c_crossattn, control, options, **conditions)
    rows = source_rows(source, float(t[0]), options.get(WINDOW)).to(x)
    num_frames = len(x) // len(options["cond_or_uncond"])
    mend = (
        "Invert the clip that is edited. Inject Source supports neither a prompt for a part of the picture nor core's "
        "own Context Windows; use this pack's."
    )
    check_same_size((num_frames, *x.shape[-2:]), (len(rows), *rows.shape[-2:]), mend=mend)
    others = {name: with_first(value, num_frames, len(x)) for name, value in others.items()}
    if source.context.pooled_text is not None:
        told = encode_told(executor.class_obj, source.context, options, rows).to(others["y"])
        others["y"] = torch.cat([told.expand(num_frames, -1), others["y"][num_frames:]])
    text = with_text(c_crossattn, source.context.text, num_frames)
    source.switch(injected)
    try:
        output = executor(
            torch.cat([rows, x]),
            torch.cat([t[:num_frames], t]),
            others.pop("c_concat"),
            text,
            with_silence(control, num_frames, len(x)),
            with_source_named(options),
            **others,
        )
    finally:
        source.attention.on = source.features.on = False
    return output[num_frames:]


def source_rows(source: Source, sigma: float, window: tuple[int, ...] | None) -> Tensor:
    """The source at a noise level, `f c h w`: the frames of a window, or all of them."""
    rows = rearrange(source_at(source.trajectory, source.schedule, sigma), "1 c f h w -> f c h w")
    return rows if window is None else rows[list(window)]


def with_first(value: Any, num_frames: int, num_rows: int) -> Any:
    """Repeats the first video's rows at the front of a value that has one row per frame; returns others unchanged."""
    is_rows = isinstance(value, Tensor) and value.ndim and len(value) == num_rows
    return torch.cat([value[:num_frames], value]) if is_rows else value


def with_text(texts: Tensor, text: Tensor, num_frames: int) -> Tensor:
    """Text embeddings `(n f) m d` with the source's in front.

    Texts of different lengths are repeated to a common one, as ComfyUI does: repeating all tokens does not change
    attention.
    """
    length = math.lcm(texts.shape[1], text.shape[1])
    front = repeat(text.to(texts), "1 m d -> f (times m) d", f=num_frames, times=length // text.shape[1])
    return torch.cat([front, repeat(texts, "b m d -> b (times m) d", times=length // texts.shape[1])])


def with_silence(control: dict[str, list] | None, num_frames: int, num_rows: int) -> dict[str, list] | None:
    """A ControlNet's residuals with zeros for the source, which was inverted without one."""
    if control is None:
        return None

    def lengthen(residual: Tensor | None) -> Tensor | None:
        if residual is None:
            return None
        rows = residual.expand(num_rows, *residual.shape[1:])
        return torch.cat([torch.zeros_like(rows[:num_frames]), rows])

    return {place: [lengthen(residual) for residual in residuals] for place, residuals in control.items()}


def with_source_named(options: dict[str, Any]) -> dict[str, Any]:
    """ComfyUI's options with a number and an id for the source, as each other video has those of its prompt."""
    named = {"cond_or_uncond": [UNCONDITIONAL, *options["cond_or_uncond"]]}
    if "uuids" in options:
        named["uuids"] = [SOURCE_ID, *options["uuids"]]
    return {**options, **named}
