"""One-shot tuning: the loop that teaches an inflated model the motion of one clip (Tune-A-Video, arXiv 2212.11565).

The recipe is the original's (configs/*.yaml and train_tuneavideo.py), without its flaws: latents and text are encoded
once, gradient checkpointing is non-reentrant so that every trainable tensor trains, and a run can be resumed.

All random numbers of a step depend on (seed, step) alone, so that a resumed run draws the same as an unbroken one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..denoisers.denoiser import UNetDenoiser
from ..errors import explain_out_of_memory
from .config import TuneConfig, check_has_steps
from .motion import Motion
from .progress import Pace, TuneProgress, TuneStart, TuneWatcher
from .run_lock import hold
from .state import RunState
from .step_time import estimate_tuning
from .training_run import TuningRun

if TYPE_CHECKING:
    from ..models.conditioning import Conditioning
    from ..models.latents import LatentMoments
    from ..video.config import ClipInfo
    from .early_stop import EarlyStop


OnStep = Callable[[TuneProgress], None] | TuneWatcher
MEND = "Use memory 'low', a window, fewer frames, a smaller size, or fp16/bf16 precision."


def tune(
    denoiser: UNetDenoiser,
    clip: LatentMoments | Tensor,
    context: Conditioning | Tensor,
    *,
    config: TuneConfig | None = None,
    state_path: str | Path | None = None,
    about: ClipInfo | None = None,
    on_step: OnStep | None = None,
    early_stop: EarlyStop | None = None,
    start: Motion | None = None,
) -> Motion:
    """Tunes a model on one clip. The given model, latents and text are not changed.

    Args:
        denoiser: an untuned model; its UNet's modes are used in tuning and recorded.
        clip: the VAE's posterior over the clip, sampled again at each step as in the original, or fixed latents
            `1 c f h w`.
        context: the source prompt as `encode_prompt` gives it, or its text embeddings alone, `1 m d`.
        config: see `TuneConfig`.
        state_path: a file for the state of the run, written every `config.save_every` steps, less often if copying it
            for that would take over 2 % of the time; at the end; and when the user cancels, `on_step` raises or memory
            runs out. If it exists already, `config.resume` says what happens. Only one run at a time can use it.
        about: the clip's prompt, rate and how it was read, which the motion records: `clip.info(prompt)`.
        on_step: called after each step. If it raises, the state is saved and the run ends. A `TuneWatcher` is also
            called once before the first step, with what was done of the run earlier.
        early_stop: ends the run when its scores no longer improve, see `EarlyStop`.
        start: a motion to begin from, of the same architecture and positions; its clip may have another length. The
            optimizer begins anew, and the state remembers the start.

    Returns:
        The motion after `config.num_steps` steps; with `early_stop`, the motion with the best score. After 0 steps,
        `start` as it was given.

    Raises:
        ConfigError: the settings do not fit, or the state file is of another run, or in use by a run.
        MotionError: `start` does not fit the model.
        TuningDiverged: the loss or the gradient is no longer a number. The state of the last good step is saved.
        OutOfMemory: memory runs out, or an estimate before the run says that it will; the message says what to lower.
        OutputError: the state cannot be written; raised before the first step if possible.
    """
    config = config or TuneConfig()
    check_has_steps(config.num_steps, starts=start is not None)
    with torch.inference_mode(False), torch.enable_grad():
        with explain_out_of_memory("setting up the tuning", MEND):
            run = TuningRun(denoiser, clip, context, config=config, about=about, start=start)
        return run_to_the_end(run, state_path, on_step=on_step, early_stop=early_stop)


def run_to_the_end(
    run: TuningRun,
    state_path: str | Path | None,
    *,
    on_step: OnStep | None = None,
    early_stop: EarlyStop | None = None,
) -> Motion:
    """Takes up a run where its state file left it, and goes on until its steps are done; see `tune`."""
    state = RunState(state_path, run)
    with hold(state.path), state.saver:
        state.begin()
        state.check_room()
        if early_stop is not None:
            early_stop.begin(run, state.path)
        begun = begin(run, state, early_stop)
        if isinstance(on_step, TuneWatcher):
            on_step.on_begin(begun)
        return go_on(run, state, on_step, early_stop)


def begin(run: TuningRun, state: RunState, early_stop: EarlyStop | None) -> TuneStart:
    """Where the run begins. If no step is left, its motion records the settings that its steps were done with."""
    is_done = run.step >= run.config.num_steps or (early_stop is not None and early_stop.is_over)
    unused = state.unused_settings() if is_done else {}
    run.recorded |= {name: used for name, (used, _) in unused.items()}
    return TuneStart(
        step=run.step,
        losses=tuple(run.losses),
        is_done=is_done,
        unused=unused,
        estimate=lambda: None if is_done else estimate_tuning(run),
    )


def go_on(run: TuningRun, state: RunState, on_step: OnStep | None, early_stop: EarlyStop | None) -> Motion:
    """Takes the steps that are left. An early end saves the state first, unless weights were only partly updated."""
    if early_stop is not None and run.step:
        early_stop.look(run.progress(eta_seconds=0.0))
        state.save()
    pace, last = Pace(), run.config.num_steps
    while run.step < last and not (early_stop and early_stop.is_over):
        started = time.monotonic()
        try:
            with explain_out_of_memory(f"tuning on {run.num_frames} frames", MEND):
                run.advance()
        except BaseException:
            if not run.updating:
                state.save()
            raise
        pace.add(time.monotonic() - started)
        progress = run.progress(eta_seconds=pace.seconds_for(last - run.step))
        try:
            if on_step is not None:
                on_step(progress)
            is_best = early_stop is not None and early_stop.look(progress)
        except BaseException:
            state.save()
            raise
        state.saver.check()
        if is_best:
            # The best motion is on disk by now, so the scores that say so must be too.
            state.save()
        elif run.config.save_every and run.step % run.config.save_every == 0:
            state.save_in_background()
    state.save()
    return early_stop.best if early_stop and early_stop.best else run.motion()
