"""Early stopping: a tuning that ends once its previews get no better, and gives the motion of the best one.

Tuned for long, a model copies its source and no longer follows the prompt, while the loss goes on falling. What tells
is a preview: the clip rendered under a prompt that was not tuned on. `EarlyStop` is an `on_step` of `tune`; what it
scores by is a function, `preview_score` for instance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from .errors import ConfigError

if TYPE_CHECKING:
    from .metrics import ClipEncoder
    from .tune import TuneProgress
    from .weights import Motion


class StopTuning(Exception):
    """Raised by an `on_step` that has seen enough: `tune` saves the run and returns this motion."""

    def __init__(self, motion: Motion) -> None:
        super().__init__(f"enough after {motion.info.steps_done} steps")
        self.motion = motion


@dataclass(kw_only=True)
class EarlyStop:
    """Scores the motion every so many steps; ends the run when it got no better, with the best motion so far.

    Args:
        score: of a motion; more is better.
        every: steps between scores.
        patience: scores in a row that may be no better than the best before the run ends.

    Attributes:
        scores: of each step that was scored. They are of this run alone: after a resume they begin anew.

    Raises:
        ConfigError: `every` or `patience` below 1.
    """

    score: Callable[[Motion], float]
    every: int = 50
    patience: int = 2
    scores: dict[int, float] = field(default_factory=dict)
    best: Motion | None = None

    def __post_init__(self) -> None:
        if min(self.every, self.patience) < 1:
            raise ConfigError(
                got=f"scores every {self.every} steps, with a patience of {self.patience}",
                expected="1 or more for both",
                mend="Use 50 and 2.",
            )

    def __call__(self, progress: TuneProgress) -> None:
        """Scores, if it is time.

        Raises:
            StopTuning: with the best motion, at the end of the patience or of the run.
        """
        if progress.step % self.every and progress.step != progress.num_steps:
            return
        motion = progress.motion()
        value = self.score(motion)
        # A score that is no number is never the best.
        value = -math.inf if math.isnan(value) else value
        if self.best is None or value > max(self.scores.values()):
            self.best = motion
        self.scores[progress.step] = value
        late = [step for step in self.scores if step > self.best.info.steps_done]
        if len(late) >= self.patience or progress.step == progress.num_steps:
            raise StopTuning(self.best)


def preview_score(frames: Tensor, clip: ClipEncoder, *, prompt: str, source_prompt: str) -> float:
    """How much more a preview looks like its own prompt than like the source's, by CLIP.

    The mean over frames of the difference of two cosines, times 100. A preview that copies the source scores low, and
    so does one that shows nothing of either.

    Args:
        frames: `f h w 3` in [0, 1].
        prompt: what it was rendered under.
        source_prompt: what was tuned on.
    """
    from .metrics import text_similarity

    embeddings = clip.encode_images(frames)
    towards, back = (text_similarity(embeddings, clip.encode_text(text)) for text in (prompt, source_prompt))
    return float((towards - back).mean())
