"""The update at the end of a training step, which every training here shares: clipped gradients, and fp16's scaler."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from ..errors import TuningDiverged


class WeightUpdates:
    """A mixin for a training in progress: it changes the weights, and counts steps and losses.

    Args:
        config: settings with `learning_rate` and `max_grad_norm`.
        trainable: the weights that are trained, by name.
        updating: whether an update is under way: the weights then belong to no step, and must not be saved.
    """

    config: Any
    precision: torch.dtype
    trainable: dict[str, nn.Parameter]
    optimizer: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    step: int
    losses: list[float]
    updating: bool

    def update(self, loss: float) -> None:
        """Changes the weights by their gradients.

        Raises:
            TuningDiverged: the gradient is not finite; no weight has changed.
        """
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.trainable.values(), self.config.max_grad_norm)
        if self.precision != torch.float16:
            # In fp16 an overflow is no divergence: the scaler skips the step and lowers its scale.
            self.check_finite("gradient norm", norm.item())
        self.updating = True
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self.losses.append(loss)
        self.updating = False

    def check_finite(self, what: str, value: float) -> None:
        """Raises `TuningDiverged` unless a value of the running step is finite."""
        if not math.isfinite(value):
            raise TuningDiverged(
                got=f"a {what} of {value} at step {self.step + 1}",
                expected="a finite number",
                mend=f"Lower the learning rate ({self.config.learning_rate:g}) or use bf16 or fp32 precision; "
                f"the state after step {self.step} is kept.",
            )
