"""The cockpit: during a run, the node shows what is going on, its loss, its pace, its memory, and previews."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from PIL.Image import Image

from ...tav_core.errors import OutOfMemory, explain_out_of_memory
from ...tav_core.evaluation.preview import NUM_STEPS, preview_score
from ...tav_core.tuning.early_stop import EarlyStop
from ..core.live_preview import hide_live_preview, hide_output, show_live_preview
from ..core.terminal_bar import terminal_bar
from ..sockets.chart import draw_chart
from . import cockpit_text as text
from .preview_judge import describe_judge, load_judge

if TYPE_CHECKING:
    from torch import Tensor
    from tqdm import tqdm

    from ...tav_core.denoisers.denoiser import UNetDenoiser
    from ...tav_core.models.step_time import TimeEstimate
    from ...tav_core.tuning.motion import Motion
    from ...tav_core.tuning.progress import TuneProgress, TuneStart
    from ..core.preview import Preview
    from .preview_judge import PreviewJudge

# Seconds between two pictures: the browser needs no more, and a socket should not be flooded.
INTERVAL = 0.5
WIDTH = 512


class Cockpit:
    """What a tuning run inside a node tells of itself.

    Args:
        node_id: the node that shows it.
        num_steps: of the run.
        preview: renders what the run has learned; None for no previews.
        preview_every: steps between previews.
        judge: ends the run when previews stop improving; None to run all steps.
        title: a line above all others; "" for none.
    """

    def __init__(
        self,
        node_id: str,
        num_steps: int,
        preview: Preview | None,
        preview_every: int,
        *,
        judge: PreviewJudge | None = None,
        title: str = "",
        resume: str = "continue",
    ) -> None:
        self.resume = resume
        self.title = (title,) if title else ()
        self.node_id, self.preview = node_id, preview
        self.preview_every = preview_every if preview is not None else 0
        self.early_stop = None if judge is None else self.score_by(judge)
        self.bar = comfy.utils.ProgressBar(num_steps)
        self.terminal: tqdm | None = None
        self.num_steps, self.step = num_steps, 0
        self.losses: Sequence[float] = ()
        self.strip: np.ndarray | None = None
        # What is going on, in lines; its share that is done, if it has one; what is known of the run besides.
        self.state: tuple[str, ...] = ()
        self.share: float | None = None
        self.about: tuple[str, ...] = ()
        self.resumed: tuple[str, ...] = ()
        self.start: TuneStart | None = None
        self.preview_seconds: float | None = None
        self.shown_at = 0.0
        self.parts: tuple[Any, ...] = ()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Shows nothing of an earlier run within it; says what is saved if the user cancels."""
        hide_output(self.node_id)
        try:
            yield
        except comfy.model_management.InterruptProcessingException:
            self.show(text.describe_stop(self.step, self.resume))
            raise
        finally:
            if self.terminal is not None:
                self.terminal.close()

    def prepare(self, doing: str, done: int = 0, total: int = 0) -> None:
        """Says what is done before the first step."""
        told, share = (f"{doing}, {done} of {total}", done / total) if total else (doing, None)
        self.show(told, share=share, at_once=False)

    def begin(self, untuned: UNetDenoiser, base: Any, latents: Tensor) -> None:
        """Takes what previews are rendered from."""
        self.parts = (untuned, base, latents)
        if latents.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(latents.device)

    def on_begin(self, start: TuneStart) -> None:
        """Says what was done of the run earlier."""
        self.start, self.step, self.losses = start, start.step, start.losses
        self.resumed = () if start.is_done else text.describe_resume(start.step)
        if start.is_done:
            self.show(*text.describe_earlier(start.step, start.unused))
        else:
            self.prepare("measuring this device")
            self.show_estimate(start.estimate())
            self.terminal = terminal_bar("Tune", self.num_steps, start.step)

    def show_estimate(self, estimate: TimeEstimate | None) -> None:
        """Says how long the run will take; after the first step, the time left says so better."""
        if estimate is None:
            return
        seconds = text.estimate_seconds(
            estimate.seconds,
            steps_left=self.num_steps - self.step,
            previews_left=text.count_multiples(self.preview_every, after=self.step, last=self.num_steps),
            preview=None,
        )
        told = text.describe_estimate(replace(estimate, seconds=seconds), previews=self.preview_every > 0)
        logging.info("Tuning: %s", told)
        self.show("before the first step", told)

    def end(self) -> None:
        """Lets go of the models."""
        self.parts = ()

    def __call__(self, progress: TuneProgress) -> None:
        """Shows the run's progress after each step, and stops if the user cancelled.

        Raises:
            InterruptProcessingException: ComfyUI's own, if the user cancelled.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.losses, self.step = progress.losses, progress.step
        self.about = describe_training(progress)
        self.terminal.set_postfix(loss=f"{progress.loss:.4f}", refresh=False)
        self.terminal.update()
        # Early stopping renders its own, at the same steps.
        if self.preview_every and self.early_stop is None and progress.step % self.preview_every == 0:
            self.render(progress.motion())
        left = text.estimate_seconds(
            progress.eta_seconds,
            steps_left=self.num_steps - self.step,
            previews_left=text.count_multiples(self.preview_every, after=self.step, last=self.num_steps),
            preview=self.preview_seconds,
        )
        memory = used_memory(self.parts[2].device)
        last = self.step == self.num_steps
        self.show(
            text.describe_step(self.step, self.num_steps, seconds_left=left, memory=memory), at_once=last, is_step=True
        )

    def render(self, motion: Motion) -> bool:
        """Renders a preview and says whether it could. Without enough memory, the run continues without it."""
        begun, step = time.monotonic(), motion.info.steps_done
        try:
            self.on_preview(0, 2 * NUM_STEPS)
            with explain_out_of_memory("rendering a preview", "Set preview_every to 0."):
                self.strip = self.preview.render(motion, *self.parts, on_step=self.on_preview)
            self.preview_seconds = time.monotonic() - begun
            # The next step may be long: the preview is shown at once.
            self.shown_at = 0.0
            return True
        except OutOfMemory:
            logging.warning("One-Shot Tune: no memory for a preview at step %d; tuning continues.", step)
            return False
        finally:
            comfy.model_management.soft_empty_cache()

    def on_preview(self, done: int, total: int) -> None:
        """Shows how far a preview is."""
        told = text.describe_preview(self.step, self.num_steps, done=done, total=total)
        self.show(told, share=done / total, at_once=not done)

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

    def show(self, *state: str, share: float | None = None, at_once: bool = True, is_step: bool = False) -> None:
        """Sends the picture of the run in a state to the page.

        Args:
            state: what is going on, in lines.
            share: how much of it is done, in [0, 1]; None if that is not known.
            at_once: whether to send it even if the last picture is younger than `INTERVAL`.
            is_step: whether a step was taken, which ComfyUI's progress counts.
        """
        self.state, self.share = state, share
        now = time.monotonic()
        if at_once or now - self.shown_at >= INTERVAL:
            self.shown_at = now
            picture = ("JPEG", self.draw(), WIDTH)
            if is_step:
                self.bar.update_absolute(self.step, self.num_steps, picture)
            else:
                show_live_preview(self.node_id, picture, self.step, self.num_steps)

    def finish(self, losses: Sequence[float]) -> Image:
        """The picture that stays on the node, in place of the live one.

        Args:
            losses: of every step of the run.
        """
        self.losses, self.share = losses, None
        if self.start is not None and not self.start.is_done:
            stop = self.early_stop
            best = stop.best.info.steps_done if stop is not None and stop.best is not None else None
            self.state = (text.describe_end(self.step, self.num_steps, best=best),)
        # A page that is slow goes on showing the last live picture: it has to be the right one.
        self.show(*self.state)
        hide_live_preview(self.node_id)
        return self.draw()

    def draw(self) -> Image:
        """The picture of the run as it is now."""
        facts = (*self.title, *self.state, *self.resumed, *self.about, *self.describe_scores())
        return draw_chart(self.losses, last=self.num_steps, facts=facts, strip=self.strip, share=self.share)


def describe_training(progress: TuneProgress) -> tuple[str, ...]:
    """Loss, learning rate and what is recomputed, in two lines."""
    return f"loss {progress.loss:.4f}, learning rate {progress.learning_rate:.2g}", str(progress.plan)


def used_memory(device: torch.device) -> str:
    """Memory in words: the peak of the run on a GPU, or what this process holds now on a CPU."""
    if device.type == "cuda":
        return f"peak memory {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    import psutil

    return f"memory {psutil.Process().memory_info().rss / 2**30:.1f} GiB"
