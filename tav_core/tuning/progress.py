"""What callbacks get of a tuning run: once at its beginning, and after each step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ..models.step_time import TimeEstimate
    from .memory_plan import MemoryPlan
    from .motion import Motion

# Steps whose time is remembered: the first ones, which are slow, are soon forgotten.
RECENT = 20


@dataclass(frozen=True, kw_only=True)
class TuneStart:
    """Where a run begins.

    Args:
        step: steps done earlier; 0 for a new run.
        losses: the loss of each of them.
        is_done: whether no step is left, because the run has all its steps or was ended early.
        unused: settings that are not used because no step is left and the steps were done with others: by name, the
            value they were done with and the value asked for.
        estimate: returns how long the steps left will take, in about the time of one; None for few steps.
    """

    step: int
    losses: Sequence[float]
    is_done: bool
    unused: Mapping[str, tuple[Any, Any]]
    estimate: Callable[[], TimeEstimate | None]


@dataclass(frozen=True, kw_only=True)
class TuneProgress:
    """The progress of a run after a step.

    Args:
        step: steps done.
        num_steps: steps in total.
        loss: loss of this step.
        learning_rate: learning rate of this step.
        eta_seconds: estimated time that the steps left take, without what callbacks and scores take between them.
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


@dataclass(frozen=True, kw_only=True)
class VideoLayersProgress:
    """The progress of a training after a step.

    Args:
        step, num_steps: steps done, and in total.
        loss: of this step.
        eta_seconds: estimated time that the steps left take.
    """

    step: int
    num_steps: int
    loss: float
    eta_seconds: float


@runtime_checkable
class TuneWatcher(Protocol):
    """Watches a run. It is what `tune` takes as `on_step` from who wants to know how the run begins, too."""

    def on_begin(self, start: TuneStart) -> None:
        """Called once before the first step, with what was done of the run earlier."""
        ...

    def __call__(self, progress: TuneProgress) -> None:
        """Called after each step. If it raises, the state is saved and the run ends."""
        ...


class Pace:
    """How long a step takes: the median of the last ones."""

    def __init__(self) -> None:
        self.recent: deque[float] = deque(maxlen=RECENT)

    def add(self, seconds: float) -> None:
        self.recent.append(max(seconds, 0.0))

    def seconds_for(self, steps: int) -> float:
        """The estimated time of some more steps; one step at least has been added."""
        return median(self.recent) * steps
