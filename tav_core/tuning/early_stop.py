"""Early stopping: a tuning that ends once its previews get no better, and gives the motion of the best one.

Tuned for long, a model copies its source and no longer follows the prompt, while the loss goes on falling. What tells
is a preview: the clip rendered under a prompt that was not tuned on. `tune` takes an `EarlyStop`; what it scores by is
a function, `preview_score` for instance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import ConfigError
from .motion import Motion

if TYPE_CHECKING:
    from .progress import TuneProgress
    from .run import TuningRun

# Not ".safetensors", with which every run ends: no run can have this name.
BEST = ".best"


@dataclass(kw_only=True)
class EarlyStop:
    """Scores the motion every so many steps; the run ends when it got no better, with the best motion so far.

    The scores lie in the run's state and the best motion beside it, so a run that is resumed knows both.

    Args:
        score: of a motion; more is better. None where it could not be scored.
        every: steps between scores; the last step is scored too.
        patience: scores in a row that may be no better than the best before the run ends.
        by: what is scored by, prompt and judge. A state's scores by something else do not count.

    Attributes:
        scores: of each step that was scored.
        best: the motion of the highest.

    Raises:
        ConfigError: `every` or `patience` below 1.
    """

    score: Callable[[Motion], float | None]
    every: int = 50
    patience: int = 2
    by: str = ""
    scores: dict[int, float] = field(default_factory=dict, init=False)
    best: Motion | None = field(default=None, init=False)
    path: Path | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if min(self.every, self.patience) < 1:
            raise ConfigError(
                got=f"scores every {self.every} steps, with a patience of {self.patience}",
                expected="1 or more for both",
                mend="Use 50 and 2.",
            )

    def begin(self, run: TuningRun, state_path: Path | None) -> None:
        """Takes over what a run's state knows of scores.

        Raises:
            MotionError: the best motion beside the state is damaged.
        """
        if run.scored_by != self.by:
            run.scored_by, run.scores = self.by, {}
        self.scores, self.best = run.scores, None
        self.path = None if state_path is None else state_path.with_suffix(BEST)
        if self.path is not None and self.path.exists() and self.scores:
            kept = Motion.load(self.path)
            is_best = kept.info.steps_done == max(self.scores, key=self.scores.get)
            self.best = kept if is_best and kept.info.base_hash == run.base_hash else None

    @property
    def is_over(self) -> bool:
        """Whether as many scores as the patience were no better than the best."""
        if self.best is None:
            return False
        return sum(step > self.best.info.steps_done for step in self.scores) >= self.patience

    def look(self, progress: TuneProgress) -> bool:
        """Scores, if it is time; whether this motion is the best so far.

        Raises:
            OutputError: the best motion cannot be written.
        """
        due = progress.step % self.every == 0 or progress.step == progress.num_steps
        if not due or progress.step in self.scores:
            return False
        motion = progress.motion()
        value = self.score(motion)
        if value is None:
            return False
        # A score that is no number is never the best.
        value = -math.inf if math.isnan(value) else float(value)
        is_best = self.best is None or value > max(self.scores.values())
        self.scores[progress.step] = value
        if is_best:
            self.best = motion
            if self.path is not None:
                motion.save(self.path, dtype=torch.float32)
        return is_best
