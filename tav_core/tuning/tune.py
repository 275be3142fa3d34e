"""One-shot tuning: the loop that teaches an inflated model the motion of one clip (Tune-A-Video, arXiv 2212.11565).

The recipe is the original's (configs/*.yaml and train_tuneavideo.py), save for its flaws: latents and text are encoded
once, gradient checkpointing is non-reentrant so that every trainable tensor trains, and a run can be resumed.

Everything random in a step comes from (seed, step). So a resumed run draws what an unbroken one draws.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..denoisers.denoiser import UNetDenoiser
from ..errors import OutOfMemory, TuningDiverged, explain_out_of_memory
from .config import TuneConfig
from .motion import Motion
from .progress import TuneProgress
from .run import TuningRun
from .run_lock import hold
from .state import RunState

if TYPE_CHECKING:
    from ..models.conditioning import Conditioning
    from ..models.latents import LatentMoments
    from .early_stop import EarlyStop


OnStep = Callable[[TuneProgress], None]
MEND = "Use memory 'low', a window, fewer frames, a smaller size, or fp16/bf16 precision."


def tune(
    denoiser: UNetDenoiser,
    clip: LatentMoments | Tensor,
    context: Conditioning | Tensor,
    *,
    config: TuneConfig | None = None,
    state_path: str | Path | None = None,
    prompt: str = "",
    fps: float = 0.0,
    start: int = 0,
    stride: int = 0,
    fit: str = "",
    on_step: OnStep | None = None,
    early_stop: EarlyStop | None = None,
) -> Motion:
    """Tunes a model on one clip. The given model, latents and text stay as they are.

    Args:
        denoiser: an untuned model; its UNet's modes are the ones tuned in and recorded.
        clip: the VAE's posterior over the clip, drawn from anew at each step as the original does, or fixed latents
            `1 c f h w`.
        context: the source prompt as `encode_prompt` gives it, or its text embeddings alone, `1 m d`.
        config: see `TuneConfig`.
        state_path: a file that holds the run, written every `config.save_every` steps, at the end, and when `on_step`
            raises or memory runs out. If it is there already, `config.resume` says what happens. One run at a time
            has it.
        prompt, fps, start, stride, fit: recorded in the motion; the last three as `read_clip` had them.
        on_step: called after each step. What it raises cancels the run, after the state was saved.
        early_stop: ends the run when its scores get no better; see there.

    Returns:
        The motion after `config.num_steps` steps; with `early_stop` the best of those that it scored.

    Raises:
        ConfigError: settings that do not fit, or a state file of another run, or of one that is being tuned now.
        TuningDiverged: the loss or the gradient is no longer a number. The state of the last good step is saved.
        OutOfMemory: it will not fit, by an estimate before the run, or does not; says what to lower.
        OutputError: the state cannot be written; said before the first step where that can be known.
    """
    config = config or TuneConfig()
    with torch.inference_mode(False), torch.enable_grad():
        about = {"prompt": prompt, "fps": fps, "start": start, "stride": stride, "fit": fit}
        with explain_out_of_memory("setting up the tuning", MEND):
            run = TuningRun(denoiser, clip, context, config=config, about=about)
        state = RunState(state_path, run)
        with hold(state.path):
            state.begin()
            state.check_room()
            if early_stop is not None:
                early_stop.begin(run, state.path)
            return go_on(run, state, on_step, early_stop)


def go_on(run: TuningRun, state: RunState, on_step: OnStep | None, early_stop: EarlyStop | None) -> Motion:
    """Takes the steps that are left. What ends them early ends them after a save, unless weights were half changed."""
    if early_stop is not None and run.step:
        early_stop.look(run.progress(eta_seconds=0.0))
        state.save()
    started, begun_at, last = time.monotonic(), run.step, run.config.num_steps
    while run.step < last and not (early_stop and early_stop.is_over):
        try:
            with explain_out_of_memory(f"tuning on {run.num_frames} frames", MEND):
                run.advance()
        except (TuningDiverged, OutOfMemory, KeyboardInterrupt):
            if not run.updating:
                state.save()
            raise
        pace = (time.monotonic() - started) / (run.step - begun_at)
        progress = run.progress(eta_seconds=max(pace, 0.0) * (last - run.step))
        try:
            if on_step is not None:
                on_step(progress)
            is_best = early_stop is not None and early_stop.look(progress)
        except BaseException:
            state.save()
            raise
        # The best motion is on the disk by now: the scores that say so should be too.
        if is_best or (run.config.save_every and run.step % run.config.save_every == 0):
            state.save()
    state.save()
    return early_stop.best if early_stop and early_stop.best else run.motion()
