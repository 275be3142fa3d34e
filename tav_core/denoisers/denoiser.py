"""What the stages need of a model: the noise in latents, and the schedule. Predictions are converted to noise here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from ..models.conditioning import Conditioning, as_conditioning
from ..models.schedule import NoiseSchedule
from ..models.unet_inputs import fill_size_ids
from .residuals import ReadyControl, sum_residuals

if TYPE_CHECKING:
    from ..models.unet import InflatedUNet


class Denoiser(Protocol):
    """A host of a text-to-video model. Inversion and editing use nothing else of it."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise level of each timestep."""
        ...

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning) -> Tensor:
        """The noise in latents `b c f h w` at one timestep, given what they are to show; shaped like the latents."""
        ...


@dataclass(frozen=True, kw_only=True)
class UNetDenoiser:
    """The diffusers host: an inflated UNet and the schedule of its checkpoint.

    Latents stay in the dtype that they come in (float32, so that many small steps add up exactly); the UNet computes in
    its own.

    Args:
        controls: ControlNets and T2I-Adapters, added by `control.add_controls`.
    """

    unet: InflatedUNet
    schedule: NoiseSchedule
    controls: tuple[ReadyControl, ...] = ()

    def predict(self, latents: Tensor, timestep: float, context: Conditioning | Tensor) -> Tensor:
        """What the UNet itself predicts: epsilon or velocity, as `schedule.prediction_type` says."""
        # Filled in here, because ControlNets are told the same.
        context = fill_size_ids(as_conditioning(context), latents, self.unet.size_ids)
        context.check(width=self.unet.config.cross_attention_dim)
        # Asked once: diffusers walks through all modules for the answer.
        dtype = self.unet.dtype
        noisy, context = latents.to(dtype), context.to(dtype=dtype)
        residuals = sum_residuals(self.controls, noisy, timestep, context, schedule=self.schedule)
        return self.unet(noisy, timestep, context, **residuals).to(latents.dtype)

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning | Tensor) -> Tensor:
        return self.schedule.epsilon_from(self.predict(latents, timestep, context), latents, timestep)

    def check_fits(self, shape: Sequence[int]) -> None:
        """Raises `LatentsError` unless all controls have the frames and the size of latents `b c f h w`."""
        for control in self.controls:
            control.check_fits(shape)

    def pick_frames(self, frames: Sequence[int]) -> UNetDenoiser:
        """The same denoiser for some of a clip's frames, with their controls."""
        return replace(self, controls=tuple(control.pick(frames) for control in self.controls))
