"""How long the steps of a tuning will take, before any is taken; see models/step_time.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..models.step_time import TIMESTEP, TimeEstimate, estimate_time, ghost_inputs, without_values
from ..models.traffic import Operation, Traffic

if TYPE_CHECKING:
    from .training_run import TuningRun

# AdamW reads a weight, its gradient and two moments, and writes all but the gradient, in float32.
BYTES_PER_UPDATE = 28


def estimate_tuning(run: TuningRun) -> TimeEstimate | None:
    """How long the steps that are left of a run will take, without previews and scores; see `estimate_time`."""
    left = run.config.num_steps - run.step
    return estimate_time(left, lambda: [(left, count_tuning_step(run))], device=run.base.device, dtype=run.precision)


def count_tuning_step(run: TuningRun) -> list[Operation]:
    """The operations of one step: forwards, backwards, what is computed again, and the optimizer's."""
    traffic = Traffic()
    ghost = without_values(run.unet, traffic.attention)
    latents, told = ghost_inputs(run.step_shape, run.context, run.precision)
    with traffic, torch.enable_grad():
        ghost(latents, TIMESTEP, told).float().square().mean().backward()
    trained = sum(parameter.numel() for parameter in run.trainable.values())
    update = Operation(name="adamw", kind="optimizer", module="", flops=0, moved=BYTES_PER_UPDATE * trained, itemsize=4)
    return [*traffic.operations, update]
