"""The cockpit: while a run goes on, the node shows its loss, its pace, its memory, and what it can render so far."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from PIL.Image import Image

from ..tav_core.errors import OutOfMemory, explain_out_of_memory
from .chart import draw_chart

if TYPE_CHECKING:
    from torch import Tensor

    from ..tav_core.denoiser import UNetDenoiser
    from ..tav_core.tune import TuneProgress
    from .core_tuning import Preview

# Seconds between two pictures: the browser needs no more, and a socket should not be flooded.
INTERVAL = 0.5
WIDTH = 512


class Cockpit:
    """The callback of a tuning run inside a node.

    Args:
        num_steps: of the run.
        preview: renders what the run has learned; None for none.
        preview_every: steps between previews.
    """

    def __init__(self, num_steps: int, preview: Preview | None, preview_every: int) -> None:
        self.preview, self.preview_every = preview, preview_every
        self.bar = comfy.utils.ProgressBar(num_steps)
        self.num_steps, self.losses = num_steps, ()
        self.strip: np.ndarray | None = None
        self.facts, self.shown_at = ("nothing was left to do",), 0.0
        self.parts: tuple[Any, ...] = ()

    def begin(self, untuned: UNetDenoiser, base: Any, latents: Tensor) -> None:
        """Gets what previews are rendered from."""
        self.parts = (untuned, base, latents)
        if latents.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(latents.device)

    def end(self) -> None:
        """Lets go of the models."""
        self.parts = ()

    def __call__(self, progress: TuneProgress) -> None:
        """After each step: stops if the user cancelled, and shows where the run is.

        Raises:
            InterruptProcessingException: core's, if the user cancelled.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.losses = progress.losses
        due = self.preview is not None and progress.step % self.preview_every == 0
        if due:
            self.render(progress)
        now = time.monotonic()
        if due or now - self.shown_at >= INTERVAL or progress.step == self.num_steps:
            self.shown_at = now
            self.facts = describe(progress, self.parts[2].device)
            self.bar.update_absolute(progress.step, self.num_steps, ("JPEG", self.draw(), WIDTH))

    def render(self, progress: TuneProgress) -> None:
        """Renders a preview; a run that has no memory left for it goes on without."""
        try:
            with explain_out_of_memory("rendering a preview", "Set preview_every to 0."):
                self.strip = self.preview.render(progress, *self.parts)
        except OutOfMemory:
            logging.warning("One-Shot Tune: no memory for a preview at step %d; tuning goes on.", progress.step)
        finally:
            comfy.model_management.soft_empty_cache()

    def draw(self) -> Image:
        """The picture of this moment."""
        return draw_chart(self.losses, last=self.num_steps, facts=self.facts, strip=self.strip)


def describe(progress: TuneProgress, device: torch.device) -> tuple[str, ...]:
    """Step, loss, learning rate, time left and memory, in three lines."""
    minutes, seconds = divmod(int(progress.eta_seconds), 60)
    left = f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    where = f"step {progress.step} of {progress.num_steps}, {left} left, {used_memory(device)}"
    return where, f"loss {progress.loss:.4f}, learning rate {progress.learning_rate:.2g}", str(progress.plan)


def used_memory(device: torch.device) -> str:
    """The most memory that tuning took: of the device, or of this process on a CPU."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB at most"
    import psutil

    return f"{psutil.Process().memory_info().rss / 2**30:.1f} GiB"
