"""How long a run will take on a device, before its first step.

The operations of a step are counted on a copy of the network without values, and their floors on the device added up
(device_rates.py). On CPUs, these floors were 80 to 92 % of the time that was measured (benchmarks/README.md); an
estimate takes 85 %. It takes the device to be as fast as it is while it is measured.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..durations import about
from .attention import Kernel, SelfAttention, TemporalAttention, TextAttention
from .device_rates import DeviceRates, measure_device, seconds_on
from .shared_weights import copy_structure
from .traffic import Operation, Traffic

if TYPE_CHECKING:
    from .conditioning import Conditioning
    from .unet import InflatedUNet

# The share of the measured time that the counted floor is.
FLOOR_SHARE = 0.85
# To estimate takes about as long as a step; fewer steps than this are not worth it.
FEWEST_STEPS = 10
# Any timestep: the work does not depend on it.
TIMESTEP = 500
Work = Sequence[tuple[float, Iterable[Operation]]]


@dataclass(frozen=True, kw_only=True)
class TimeEstimate:
    """How long a run will take.

    Args:
        seconds: about, without reading and writing files.
        device: its name, for people.
    """

    seconds: float
    device: str

    def __str__(self) -> str:
        return f"about {about(self.seconds)} on {self.device}"


def estimate_time(
    num_steps: int,
    count: Callable[[], Work],
    *,
    device: torch.device,
    dtype: torch.dtype,
    measure: Callable[..., DeviceRates] = measure_device,
) -> TimeEstimate | None:
    """The estimate for a run, in about the time of one of its steps.

    Args:
        num_steps: of the run.
        count: the operations, and how often each list of them will run.
        device, dtype: that the run computes on and in.
        measure: see `measure_device`.

    Returns:
        None for a run of a few steps, and where the device cannot be measured, for example for want of memory: nothing
        that goes wrong in an estimate ends a run.
    """
    if num_steps < FEWEST_STEPS:
        return None
    try:
        rates = measure(device, dtype)
        seconds = sum(times * seconds_on(operations, rates) for times, operations in count())
    # Backends differ in what they raise for operations, dtypes and waits that they lack.
    except Exception as error:
        logging.getLogger(__name__).debug("No time is estimated: %s", error, exc_info=True)
        return None
    return TimeEstimate(seconds=seconds / FLOOR_SHARE, device=rates.name)


def count_prediction(unet: InflatedUNet, shape: Sequence[int], context: Conditioning) -> list[Operation]:
    """The operations of one prediction.

    Args:
        shape: of the latents, `b c f h w`: a guided prediction is a batch of two videos.
        context: what the UNet is told of one video; only its shapes count.
    """
    traffic = Traffic()
    ghost = without_values(unet, traffic.attention)
    latents, told = ghost_inputs(shape, context, unet.dtype)
    with traffic, torch.no_grad():
        ghost(latents, TIMESTEP, told)
    return traffic.operations


def without_values(unet: InflatedUNet, attention: Kernel) -> InflatedUNet:
    """A copy of a UNet whose weights have shapes but no values; the given one is not changed.

    Args:
        attention: what its attention calls, because there is no kernel for tensors without values.
    """
    ghost = nn.Module.to(copy_structure(unet), device="meta")
    for module in ghost.modules():
        processor = getattr(module, "processor", None)
        if isinstance(processor, (SelfAttention, TemporalAttention, TextAttention)):
            processor.backend = attention
    return ghost


def ghost_inputs(shape: Sequence[int], context: Conditioning, dtype: torch.dtype) -> tuple[torch.Tensor, Conditioning]:
    """Latents of a shape, and what the UNet is told of so many videos, without values."""
    told = context[:1].expand(shape[0]).map(lambda part: torch.empty_like(part, device="meta"))
    return torch.empty(tuple(shape), device="meta", dtype=dtype), told.to(dtype=dtype)
