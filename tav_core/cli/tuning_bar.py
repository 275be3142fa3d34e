"""What `python -m tav_core tune` tells of its run: how it begins, its progress, and which settings are not used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from .progress import progress_bar, tell

if TYPE_CHECKING:
    from ..tuning.progress import TuneProgress, TuneStart, VideoLayersProgress


class TuningBar:
    """Shows a run as a progress bar, within a `with` statement; a `TuneWatcher`.

    Args:
        num_steps: of the run.
        check: called before the first step and after each; if it raises, the run ends.
    """

    def __init__(self, num_steps: int, check: Callable[[], None]) -> None:
        self.bar, self.check = progress_bar("tune", num_steps), check
        self.begun_at = 0

    def __enter__(self) -> TuningBar:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Says what a run that was cancelled has saved."""
        if isinstance(error, KeyboardInterrupt) and self.bar.n:
            tell(f"stopped at step {self.bar.n} and saved: the same command goes on there")
        self.bar.close()

    def on_begin(self, start: TuneStart) -> None:
        """Says what was done of the run earlier. A run that is done says which settings it did not use."""
        self.begun_at = start.step
        self.bar.update(start.step)
        if start.is_done:
            tell(f"done earlier: {start.step} steps")
        elif start.step:
            tell(f"resumed at step {start.step}")
        if (estimate := start.estimate()) is not None:
            tell(f"time: {estimate}, without previews and scores")
        for name, (used, asked) in start.unused.items():
            tell(f"{name} {asked} is not used: the steps were done with {used}. --resume restart uses it.")
        self.check()

    def __call__(self, progress: TuneProgress) -> None:
        """Counts a step."""
        if progress.step == self.begun_at + 1:
            tell(f"memory: {progress.plan}")
        self.bar.set_postfix(loss=f"{progress.loss:.4f}", lr=f"{progress.learning_rate:.1e}", refresh=False)
        self.bar.update(progress.step - self.bar.n)
        self.check()


@contextmanager
def training_bar(
    num_steps: int, check: Callable[[], None], *, shown: bool = True
) -> Iterator[Callable[[VideoLayersProgress], None]]:
    """Shows a training on clips and pictures as a progress bar. It yields what is to be called after each step.

    Args:
        num_steps: of the training.
        check: called after each step; if it raises, the training ends.
        shown: whether this process tells of the training.
    """
    with progress_bar("train", num_steps, shown=shown) as bar:

        def on_step(progress: VideoLayersProgress) -> None:
            if shown and not bar.n and progress.step > 1:
                tell(f"resumed at step {progress.step - 1}")
            bar.set_postfix(loss=f"{progress.loss:.4f}", refresh=False)
            bar.update(progress.step - bar.n)
            check()

        try:
            yield on_step
        except KeyboardInterrupt:
            if bar.n:
                tell(f"stopped at step {bar.n} and saved: the same command goes on there")
            raise
