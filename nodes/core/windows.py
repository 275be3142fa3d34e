"""Context windows on a core MODEL, around ComfyUI's own batching of conditioning, so that they work in every sampler.

At that point ComfyUI has the noise of all frames and the conditioning of both prompts, and has run nothing yet. Around
the model itself, windows would come too late: a ControlNet would already have run on all frames at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import comfy.conds
import comfy.model_management
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...tav_core.denoisers.windows import ContextWindows, fused_weights, with_anchor
from .control_mask import MaskedControl, check_masks
from .inflation import KEY
from .motion import check_carries_motion, is_lavie

if TYPE_CHECKING:
    from comfy.controlnet import ControlBase
    from comfy.model_patcher import ModelPatcher

# A key of ComfyUI's transformer_options: which frames of the clip are in the running batch. Injection reads it.
WINDOW = "tune_a_video_window"


def add_windows(model: ModelPatcher, windows: ContextWindows) -> ModelPatcher:
    """A clone of a MODEL that denoises long clips by windows; windows that it already has are replaced.

    Raises:
        MotionError: there is no motion on the MODEL, so its batches are not videos.
    """
    check_carries_motion(model)
    patched = model.clone()
    # LaVie's frames attend to none but their own window's.
    denoise = partial(denoise_by_windows, windows, anchored=not is_lavie(model))
    for place, wrapper in (
        (WrappersMP.CALC_COND_BATCH, denoise),
        (WrappersMP.PREPARE_SAMPLING, partial(ask_for_a_window, windows)),
    ):
        patched.remove_wrappers_with_key(place, KEY)
        patched.add_wrapper_with_key(place, KEY, wrapper)
    return patched


def ask_for_a_window(
    windows: ContextWindows, executor: Callable, model: ModelPatcher, noise_shape: Sequence[int], *args: Any, **kw: Any
) -> Any:
    """Wraps ComfyUI's loading of models: memory is kept free for one window and not for the whole clip."""
    shape = [min(noise_shape[0], windows.length + 1), *noise_shape[1:]]
    return executor(model, shape, *args, **kw)


def denoise_by_windows(
    windows: ContextWindows,
    executor: Callable[..., list[Tensor]],
    model: Any,
    conds: list[list[dict[str, Any]] | None],
    x_in: Tensor,
    timestep: Tensor,
    model_options: dict[str, Any],
    *,
    anchored: bool = True,
) -> list[Tensor]:
    """Wraps ComfyUI's `calc_cond_batch`: the denoised frames `f c h w` for each conditioning, by windows.

    Args:
        anchored: whether frame 0 of the clip is put in front of each window.
        conds: positive and negative, as ComfyUI has prepared them; None where one is not needed.
        timestep: sigma, one value per frame.
    """
    found = windows.at(len(x_in), round(float(model.model_sampling.timestep(timestep[0]))))
    if len(found) == 1:
        return executor(model, conds, x_in, timestep, model_options)
    check_masks(conds, x_in)
    fused = [x_in.new_zeros(x_in.shape) for _ in conds]
    for window, weights in zip(found, fused_weights(found, len(x_in)), strict=True):
        comfy.model_management.throw_exception_if_processing_interrupted()
        frames, controls = with_anchor(window) if anchored else [*window], {}
        own = [cond and [pick_entry(entry, frames, controls) for entry in cond] for cond in conds]
        options = with_window(model_options, frames)
        parts = executor(model, own, x_in[frames], timestep[:1].expand(len(frames)), options)
        scale = x_in.new_tensor(weights)[:, None, None, None]
        for whole, part in zip(fused, parts, strict=True):
            whole[window.start : window.stop] += part[-len(window) :] * scale
    return fused


def with_window(model_options: dict[str, Any], frames: list[int]) -> dict[str, Any]:
    """ComfyUI's options with the frames that are in the run: a tuple, because ComfyUI would join lists."""
    named = {**model_options.get("transformer_options", {}), WINDOW: tuple(frames)}
    return {**model_options, "transformer_options": named}


def pick_entry(entry: dict[str, Any], frames: list[int], controls: dict[int, ControlBase]) -> dict[str, Any]:
    """One prompt's conditioning for some of the frames.

    Args:
        controls: the ControlNets already picked for these frames, by the id of the original. Prompts share them:
            ComfyUI batches two prompts only if their ControlNet is the same object.
    """
    own = {**entry, "model_conds": {name: pick_cond(cond, frames) for name, cond in entry["model_conds"].items()}}
    if "mask" in entry:
        own["mask"] = pick_rows(entry["mask"], frames)
    if entry.get("control") is not None:
        own["control"] = pick_control(entry["control"], frames, controls)
    return own


def pick_rows(rows: Tensor, frames: list[int]) -> Tensor:
    """The rows of some frames. A single row serves all frames; fewer rows than frames are repeated, as ComfyUI does."""
    return rows if len(rows) == 1 else rows[[frame % len(rows) for frame in frames]]


def pick_cond(cond: Any, frames: list[int]) -> Any:
    """One of ComfyUI's conditioning values for some of the frames."""
    return cond._copy_with(pick_rows(cond.cond, frames)) if isinstance(cond, comfy.conds.CONDRegular) else cond


def pick_control(control: ControlBase, frames: list[int], controls: dict[int, ControlBase]) -> ControlBase:
    """A ControlNet with the hints of some of the frames, as well as those before it in its chain.

    A shallow copy shares the network and all that ComfyUI has prepared for this run, except the hint at latent size.
    """
    if id(control) not in controls:
        own = controls[id(control)] = copy.copy(control)
        own.cond_hint = None
        if control.cond_hint_original is not None:
            own.cond_hint_original = pick_rows(control.cond_hint_original, frames)
        if isinstance(own, MaskedControl):
            own.inside = pick_rows(own.inside, frames)
        own.extra_concat_orig = [pick_rows(rows, frames) for rows in control.extra_concat_orig]
        if control.previous_controlnet is not None:
            own.previous_controlnet = pick_control(control.previous_controlnet, frames, controls)
    return controls[id(control)]
