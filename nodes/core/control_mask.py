"""A ControlNet or T2I-Adapter of ComfyUI that acts inside a mask alone, whichever class ComfyUI has for it.

What the net gives is multiplied by the mask before ComfyUI adds it to what the nets before it in the chain give.
"""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...tav_core.denoisers.residuals import only_inside
from ...tav_core.errors import ConfigError
from ...tav_core.layouts import VAE_FACTOR, check_mask

if TYPE_CHECKING:
    from comfy.controlnet import ControlBase


def mask_controls(mask: Tensor, *prompts: list) -> list[list]:
    """Prompts whose last ControlNet acts inside a mask `f h w` alone. Those given are not changed.

    Prompts go on to share a net, because ComfyUI batches two prompts only if their net is the same object. A prompt
    without one stays as it is: ComfyUI may give it that of the other prompt.

    Raises:
        ConfigError: no prompt has a ControlNet.
    """
    controls = [told["control"] for prompt in prompts for _, told in prompt if told.get("control") is not None]
    if not controls:
        raise ConfigError(
            got="prompts without a ControlNet",
            expected="one for which the mask says where it acts",
            mend="Put Mask Control behind Apply ControlNet.",
        )
    masked = {id(control): mask_control(control, mask) for control in controls}
    return [[[text, with_masked(told, masked)] for text, told in prompt] for prompt in prompts]


def with_masked(told: dict[str, Any], masked: dict[int, ControlBase]) -> dict[str, Any]:
    """What a prompt is told, with the masked control in place of the one that it has."""
    control = told.get("control")
    return told if control is None else {**told, "control": masked[id(control)]}


def mask_control(control: ControlBase, mask: Tensor) -> ControlBase:
    """A copy of a control that acts inside a mask alone; it shares the network.

    Raises:
        ConfigError: the control is another pack's, whose own methods would not know of the mask, or it gives one value
            for the whole picture.
    """
    check_maskable(control)
    own = copy.copy(control)
    own.__class__ = masked_kind(type(control))
    own.inside = mask.float()
    # Copies for further cards belong to the mask that they were made with.
    own.multigpu_clones = {}
    return own


def check_maskable(control: ControlBase) -> None:
    """Raises `ConfigError` if a mask would do nothing, or something else than it says, to a control."""
    if {"get_control", "control_merge"} & vars(control).keys():
        raise ConfigError(
            got=f"a {type(control).__name__} of another pack",
            expected="a control from ComfyUI's own Apply ControlNet",
            mend="Use the mask input of that pack's own node.",
        )
    if control.global_average_pooling:
        raise ConfigError(
            got="a ControlNet that gives one value for the whole picture",
            expected="one whose output has places, such as depth, edges or poses",
            mend="Take Mask Control out, or use another net.",
        )


@functools.cache
def masked_kind(kind: type) -> type:
    """The class of masked controls of a kind."""
    return kind if issubclass(kind, MaskedControl) else type(f"Masked{kind.__name__}", (MaskedControl, kind), {})


class MaskedControl:
    """What is put in front of a class of ComfyUI's controls; the mask is at `inside`, `f h w` or `1 h w`."""

    inside: Tensor
    rows: int

    def get_control(self, x_noisy: Tensor, t: Tensor, cond: Any, batched_number: int, *more: Any) -> Any:
        """What the net adds, once its mask is known to fit.

        Raises:
            ClipError: the mask has another size than the latents `(b f) c h w`, or another number of frames.
        """
        self.check_fits(x_noisy, len(x_noisy) // batched_number)
        self.rows = len(x_noisy)
        return super().get_control(x_noisy, t, cond, batched_number, *more)

    def check_fits(self, latents: Tensor, num_frames: int) -> None:
        """Raises `ClipError` unless the mask has the size of latents `(b f) c h w`, and as many frames or one."""
        height, width = (side * VAE_FACTOR for side in latents.shape[-2:])
        check_mask(self.inside, num_frames=num_frames, height=height, width=width)

    def control_merge(self, control: dict[str, list], control_prev: Any, output_dtype: Any) -> Any:
        """Adds what the net gives inside the mask to what those before it give."""
        own = {place: self.cut(residuals) for place, residuals in control.items()}
        return super().control_merge(own, control_prev, output_dtype)

    def cut(self, residuals: list[Tensor | None]) -> list[Tensor | None]:
        """Residuals inside the mask. What was one tensor stays one, because ComfyUI scales each of them once."""
        whole = {id(each): self.for_all_frames(each) for each in residuals if each is not None}
        if not whole:
            return residuals
        mask = self.inside.to(next(iter(whole.values())))
        cut = dict(zip(whole, only_inside([*whole.values()], mask), strict=True))
        return [None if each is None else cut[id(each)] for each in residuals]

    def for_all_frames(self, residual: Tensor) -> Tensor:
        """A residual with a row for each frame: one row is what ComfyUI lets a single picture give for all of them.

        Raises:
            ConfigError: it is no picture.
        """
        if residual.ndim != 4:
            raise ConfigError(
                got=f"a mask for a {type(self).__mro__[2].__name__} of rank {residual.ndim}",
                expected="a ControlNet or T2I-Adapter of Stable Diffusion, whose output is a picture",
                mend="Take Mask Control out.",
            )
        return residual.expand(self.rows, -1, -1, -1) if len(residual) == 1 else residual

    def copy(self) -> Any:
        """ComfyUI's copy, with the mask."""
        return mask_control(super().copy(), self.inside)


def check_masks(conds: list[list[dict[str, Any]] | None], latents: Tensor) -> None:
    """Raises `ClipError` unless all masks of controls fit the latents `f c h w` of a whole clip."""
    for entry in (entry for cond in conds for entry in cond or ()):
        control = entry.get("control")
        while control is not None:
            if isinstance(control, MaskedControl):
                control.check_fits(latents, len(latents))
            control = control.previous_controlnet
