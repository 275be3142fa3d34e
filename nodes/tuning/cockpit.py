"""The cockpit: during a run, the node shows its loss, its pace, its memory, and previews of what it can render."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from PIL.Image import Image

from ...tav_core.errors import OutOfMemory, explain_out_of_memory
from ...tav_core.evaluation.preview import preview_score
from ...tav_core.tuning.early_stop import EarlyStop
from ..sockets.chart import draw_chart
from .preview_judge import describe_judge, load_judge

if TYPE_CHECKING:
    from torch import Tensor

    from ...tav_core.denoisers.denoiser import UNetDenoiser
    from ...tav_core.tuning.motion import Motion
    from ...tav_core.tuning.progress import TuneProgress
    from ..core.preview import Preview
    from .preview_judge import PreviewJudge

# Seconds between two pictures: the browser needs no more, and a socket should not be flooded.
INTERVAL = 0.5
WIDTH = 512


class Cockpit:
    """The callback of a tuning run inside a node.

    Args:
        num_steps: of the run.
        preview: renders what the run has learned; None for no previews.
        preview_every: steps between previews.
        judge: ends the run when previews stop improving; None to run all steps.
    """

    def __init__(
        self, num_steps: int, preview: Preview | None, preview_every: int, *, judge: PreviewJudge | None = None
    ) -> None:
        self.preview, self.preview_every = preview, preview_every
        self.early_stop = None if judge is None else self.score_by(judge)
        self.bar = comfy.utils.ProgressBar(num_steps)
        self.num_steps, self.losses = num_steps, ()
        self.strip: np.ndarray | None = None
        self.facts, self.shown_at = ("there was nothing left to do",), 0.0
        self.parts: tuple[Any, ...] = ()

    def begin(self, untuned: UNetDenoiser, base: Any, latents: Tensor) -> None:
        """Takes what previews are rendered from."""
        self.parts = (untuned, base, latents)
        if latents.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(latents.device)

    def end(self) -> None:
        """Lets go of the models."""
        self.parts = ()

    def __call__(self, progress: TuneProgress) -> None:
        """Shows the run's progress after each step, and stops if the user cancelled.

        Raises:
            InterruptProcessingException: ComfyUI's own, if the user cancelled.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.losses = progress.losses
        # Early stopping renders its own, at the same steps.
        due = self.preview is not None and self.early_stop is None and progress.step % self.preview_every == 0
        if due:
            self.render(progress.motion())
        now = time.monotonic()
        if due or now - self.shown_at >= INTERVAL or progress.step == self.num_steps:
            self.shown_at = now
            self.facts = describe(progress, self.parts[2].device)
            self.bar.update_absolute(progress.step, self.num_steps, ("JPEG", self.draw(), WIDTH))

    def render(self, motion: Motion) -> bool:
        """Renders a preview and says whether it could. Without enough memory, the run continues without it."""
        try:
            with explain_out_of_memory("rendering a preview", "Set preview_every to 0."):
                self.strip = self.preview.render(motion, *self.parts)
            return True
        except OutOfMemory:
            done = motion.info.steps_done
            logging.warning("One-Shot Tune: no memory for a preview at step %d; tuning continues.", done)
            return False
        finally:
            comfy.model_management.soft_empty_cache()

    def score_by(self, judge: PreviewJudge) -> EarlyStop:
        """Early stopping, scored on the previews that this cockpit shows."""
        clip, prompts = load_judge(judge), {"prompt": judge.prompt, "source_prompt": judge.source_prompt}

        def score(motion: Motion) -> float | None:
            return preview_score(torch.from_numpy(self.strip), clip, **prompts) if self.render(motion) else None

        return EarlyStop(score=score, every=self.preview_every, patience=judge.patience, by=describe_judge(judge))

    def describe_scores(self) -> tuple[str, ...]:
        """One line with the last score and the best; none before the first score."""
        stop = self.early_stop
        if stop is None or stop.best is None:
            return ()
        last, best = max(stop.scores), stop.best.info.steps_done
        return (f"score {stop.scores[last]:.2f} at step {last}, best {stop.scores[best]:.2f} at step {best}",)

    def draw(self) -> Image:
        """The picture of the run as it is now."""
        facts = (*self.facts, *self.describe_scores())
        return draw_chart(self.losses, last=self.num_steps, facts=facts, strip=self.strip)


def describe(progress: TuneProgress, device: torch.device) -> tuple[str, ...]:
    """Step, loss, learning rate, time left and memory, in three lines."""
    minutes, seconds = divmod(int(progress.eta_seconds), 60)
    left = f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    where = f"step {progress.step} of {progress.num_steps}, {left} left, {used_memory(device)}"
    return where, f"loss {progress.loss:.4f}, learning rate {progress.learning_rate:.2g}", str(progress.plan)


def used_memory(device: torch.device) -> str:
    """Memory in words: the peak of the run on a GPU, or what this process holds now on a CPU."""
    if device.type == "cuda":
        return f"peak memory {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    import psutil

    return f"memory {psutil.Process().memory_info().rss / 2**30:.1f} GiB"
