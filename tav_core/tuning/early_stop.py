"""Early stopping: ends a tuning when its previews no longer improve, and returns the motion with the best score.

A model tuned too long copies the source and no longer follows the prompt. A preview, the clip rendered under another
prompt, shows it; the loss does not, and keeps falling. `tune` takes an `EarlyStop`, whose score is any function of the
motion, for example one that renders a preview and calls `preview_score`.
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
    from .training_run import TuningRun

# A run's file ends in ".safetensors", so that no run can have this name.
BEST = ".best"


@dataclass(kw_only=True)
class EarlyStop:
    """Scores the motion at intervals; when the score no longer improves, the run ends with the best motion so far.

    The scores are saved in the run's state and the best motion beside it, so that a resumed run has both.

    Args:
        score: a function that scores a motion; higher is better. It returns None if it cannot.
        every: steps between scores; the last step is scored too.
        patience: how many scores may fail to beat the best one before the run ends.
        by: what the score depends on (prompt and judge). Scores in a state that were made with another are dropped.

    Attributes:
        scores: the score of each step that was scored.
        best: the motion with the highest score.

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
        """Takes over the scores from a run's state, and the best motion beside it.

        Raises:
            MotionError: the best motion beside the state is damaged.
        """
        if run.scored_by != self.by:
            run.scored_by, run.scores = self.by, {}
        self.scores, self.best = run.scores, None
        self.path = None if state_path is None else state_path.with_suffix(BEST)
        if self.path is not None and self.path.exists() and self.scores:
            kept = Motion.load(self.path)
            is_best = kept.info.steps_done == max(self.scores, key=lambda step: self.scores[step])
            self.best = kept if is_best and kept.info.base_hash == run.base_hash else None

    @property
    def is_over(self) -> bool:
        """Whether as many scores as `patience` allows have failed to beat the best one."""
        if self.best is None:
            return False
        return sum(step > self.best.info.steps_done for step in self.scores) >= self.patience

    def look(self, progress: TuneProgress) -> bool:
        """Scores the motion if it is time; returns whether it is the best so far.

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
        # A score of nan is never the best.
        value = -math.inf if math.isnan(value) else float(value)
        is_best = self.best is None or value > max(self.scores.values())
        self.scores[progress.step] = value
        if is_best:
            self.best = motion
            if self.path is not None:
                motion.save(self.path, dtype=torch.float32)
        return is_best
