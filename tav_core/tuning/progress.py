"""What callbacks get after each step of a tuning run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .memory_plan import MemoryPlan
    from .motion import Motion


@dataclass(frozen=True, kw_only=True)
class TuneProgress:
    """The progress of a run after a step.

    Args:
        step: steps done.
        num_steps: steps in total.
        loss: loss of this step.
        learning_rate: learning rate of this step.
        eta_seconds: estimated time left.
        losses: the loss of every step so far, including those before a resume.
        plan: what is recomputed, and the memory estimate behind that choice.
        motion: returns the motion so far, for a preview.
    """

    step: int
    num_steps: int
    loss: float
    learning_rate: float
    eta_seconds: float
    losses: Sequence[float]
    plan: MemoryPlan
    motion: Callable[[], Motion]
