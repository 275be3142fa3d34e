"""What is told of a tuning run after each of its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .memory_plan import MemoryPlan
    from .motion import Motion


@dataclass(frozen=True, kw_only=True)
class TuneProgress:
    """What a callback learns after each step.

    Args:
        step: steps done.
        num_steps: steps in all.
        loss: of this step.
        learning_rate: of this step.
        eta_seconds: estimated time left.
        losses: of every step so far, those before a resume too.
        plan: what is recomputed, and the memory estimate that it was chosen by.
        motion: gives the motion so far, for a preview.
    """

    step: int
    num_steps: int
    loss: float
    learning_rate: float
    eta_seconds: float
    losses: Sequence[float]
    plan: MemoryPlan
    motion: Callable[[], Motion]
