"""Computes what controls add inside the UNet at a step, and checks that they fit the latents."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from einops import rearrange, repeat
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from ..errors import LatentsError
from ..layouts import VAE_FACTOR, fold
from ..models.inflation import FrameCount
from ..models.unet_inputs import added_arguments
from .config import ControlConfig

if TYPE_CHECKING:
    from diffusers import ControlNetModel

    from ..models.conditioning import Conditioning
    from ..models.schedule import NoiseSchedule


class ReadyControl(Protocol):
    """A control on a UNet's device, in its dtype."""

    @property
    def config(self) -> ControlConfig:
        """How strongly it acts, and when."""
        ...

    @property
    def goes_to(self) -> str:
        """The argument of diffusers' UNet that takes the residuals of this kind."""
        ...

    def residuals(self, latents: Tensor, timestep: float, context: Conditioning) -> list[Tensor]:
        """What to add inside the UNet, `(b f) c h w` each, for latents `b c f h w`."""
        ...

    def check_fits(self, shape: Sequence[int]) -> None:
        """Raises `LatentsError` unless the control has the frames and the size of latents of a shape `b c f h w`."""
        ...

    def pick(self, frames: Sequence[int]) -> ReadyControl:
        """The same control, for some of its frames."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadyControlNet:
    """A ControlNet, its control frames `f c h w`, and where it acts, `f h w`; None for everywhere."""

    net: ControlNetModel
    hint: Tensor
    config: ControlConfig
    mask: Tensor | None
    frames: FrameCount
    goes_to: str = "down_block_additional_residuals"

    def residuals(self, latents: Tensor, timestep: float, context: Conditioning) -> list[Tensor]:
        """The residuals of the skip connections, in order, and then that of the middle block."""
        self.check_fits(latents.shape)
        self.frames.value = latents.shape[2]
        hint = repeat(self.hint, "f c h w -> (b f) c h w", b=latents.shape[0])
        added: dict[str, Any] = {}
        if self.net.config.addition_embed_type is not None:
            added = added_arguments(context, self.net.config, num_frames=latents.shape[2])
        down, middle = self.net(
            fold(latents),
            timestep,
            context.text,
            hint,
            conditioning_scale=self.config.scale,
            return_dict=False,
            **added,
        )
        return [*only_inside([*down, middle], self.mask)]

    def check_fits(self, shape: Sequence[int]) -> None:
        check_matches(shape, len(self.hint), *(side // VAE_FACTOR for side in self.hint.shape[2:]))

    def pick(self, frames: Sequence[int]) -> ReadyControlNet:
        mask = None if self.mask is None else self.mask[list(frames)]
        return dataclasses.replace(self, hint=self.hint[list(frames)], mask=mask)


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadyAdapter:
    """The features that a T2I-Adapter computed from its control frames: `f c h w` for each place in the UNet.

    Args:
        features: see `adapter_places` in control.py.
        height, width: of the latents that they were made for.
        config: see `ControlConfig`.
    """

    features: tuple[Tensor, ...]
    height: int
    width: int
    config: ControlConfig
    goes_to: str = "down_intrablock_additional_residuals"

    def residuals(self, latents: Tensor, timestep: float, context: Conditioning) -> list[Tensor]:
        """The residuals, one per place, the finest first."""
        self.check_fits(latents.shape)
        videos = latents.shape[0]
        return [repeat(x * self.config.scale, "f c h w -> (b f) c h w", b=videos) for x in self.features]

    def check_fits(self, shape: Sequence[int]) -> None:
        check_matches(shape, len(self.features[0]), self.height, self.width)

    def pick(self, frames: Sequence[int]) -> ReadyAdapter:
        return dataclasses.replace(self, features=tuple(x[list(frames)] for x in self.features))


def only_inside(residuals: Sequence[Tensor], mask: Tensor | None) -> tuple[Tensor, ...]:
    """Residuals `(b f) c h w` inside a mask `f h w` in pixels, and 0 outside; a cell counts by the mask's mean."""
    if mask is None:
        return tuple(residuals)
    videos = len(residuals[0]) // len(mask)
    # The layers of a level share a size, and a mask of a whole clip is large.
    shares = {size: cell_means(mask, *size) for size in {x.shape[2:] for x in residuals}}
    return tuple(x * repeat(shares[x.shape[2:]], "f h w -> (b f) 1 h w", b=videos) for x in residuals)


def cell_means(mask: Tensor, height: int, width: int) -> Tensor:
    """The mean of a mask `f h w` in pixels over each cell of a level of the UNet with so many cells, `f height width`.

    A cell has the side of a latent's cell, or twice, four times ... that. The last ones may reach beyond the picture.
    """
    side = VAE_FACTOR
    while -(-mask.shape[1] // side) > height or -(-mask.shape[2] // side) > width:
        side *= 2
    beyond = (0, width * side - mask.shape[2], 0, height * side - mask.shape[1])
    whole = pad(rearrange(mask, "f h w -> f 1 h w"), beyond, "replicate")
    return rearrange(avg_pool2d(whole, side), "f 1 h w -> f h w")


def check_matches(shape: Sequence[int], num_frames: int, height: int, width: int) -> None:
    """Checks that control frames, counted and sized as latents, fit latents of a shape `b c f h w`.

    Raises:
        LatentsError: the number of frames or the size differs.
    """
    if tuple(shape[2:]) != (num_frames, height, width):
        ours, theirs = (
            f"{f} frames of {w * VAE_FACTOR}x{h * VAE_FACTOR}" for f, h, w in (shape[2:], (num_frames, height, width))
        )
        raise LatentsError(
            got=f"a control of {theirs} for {ours}",
            expected="as many control frames as the clip has, in the clip's size",
            mend="Read the control video as the clip was read: the same start, stride, number of frames and size.",
        )


def share_done(timestep: float, schedule: NoiseSchedule) -> float:
    """The share of sampling that is done after the step at a timestep: above 0, and 1 after the last step.

    It is the share of the steps if their number divides that of the schedule, else a little less. It depends on the
    timestep alone, so that inversion and sampling have the same controls at the same noise.
    """
    done = 1 - (timestep - schedule.steps_offset) / schedule.num_train_timesteps
    # Rounded, because in floating point 1 - 0.7 is more than 0.3.
    return min(round(done, 9), 1.0)


def sum_residuals(
    controls: Sequence[ReadyControl],
    latents: Tensor,
    timestep: float,
    context: Conditioning,
    *,
    schedule: NoiseSchedule,
) -> dict[str, Any]:
    """What controls add at a step, as arguments of diffusers' UNet; empty if no control acts in this step."""
    done = share_done(timestep, schedule)
    sums: dict[str, Any] = {}
    for control in controls:
        if control.config.counts_at(done):
            new, before = control.residuals(latents, timestep, context), sums.get(control.goes_to)
            sums[control.goes_to] = new if before is None else [a + b for a, b in zip(before, new, strict=True)]
    if (of_nets := sums.get(ReadyControlNet.goes_to)) is not None:
        sums["mid_block_additional_residual"] = of_nets.pop()
    return sums
