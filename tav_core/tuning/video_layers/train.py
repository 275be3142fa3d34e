"""Trains LaVie's base on captioned clips and pictures together (arXiv 2309.15103, joint image-video tuning).

LaVie's own training code is not public.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from ...errors import ConfigError, explain_out_of_memory
from ...models.unet import InflatedUNet
from ..progress import Pace, VideoLayersProgress
from ..run_lock import hold
from .captioned_latents import CaptionedLatents, EncodingParts, encode_folder
from .config import VideoLayersConfig
from .processes import join_processes
from .run import VideoLayersRun
from .state import VideoLayersState

OnStep = Callable[[VideoLayersProgress], None]
MEND = "Use memory 'low', fewer frames or pictures, a smaller size, train 'temporal', or bf16 precision."


def train_video_layers(
    lavie_unet: InflatedUNet,
    checkpoint_parts: EncodingParts | None,
    data: str | Path | CaptionedLatents,
    *,
    config: VideoLayersConfig | None = None,
    state_path: str | Path | None = None,
    device: torch.device | str | None = None,
    on_step: OnStep | None = None,
) -> InflatedUNet:
    """Trains LaVie's base on clips and pictures together, so that it learns motion and forgets no picture.

    The loss is the mean squared error of the noise in a clip, plus `image_weight` times that in the pictures which
    follow its frames, at one timestep. Pictures pass the layers over time by; what group norms of the clip share with
    them is all that they teach these layers.

    Where `accelerate launch` or `torchrun` has started several processes, each takes its share of a step's clips, on a
    GPU of its own; the result is one device's, up to rounding. All of them return it, and the first one saves.

    Args:
        lavie_unet: the model to start from, as `load_lavie(path, "base")` gives it. It is not changed.
        checkpoint_parts: VAE, text encoder and tokenizer, as `load_checkpoint` gives them; not needed for encoded data.
        data: a folder, see `encode_folder`; or what `encode_folder` made of one.
        config: see `VideoLayersConfig`.
        state_path: a file for the state, written every `config.save_every` steps, at the end, and when the user
            cancels, `on_step` raises or memory runs out. If it is there already, the training goes on from it.
        device: where to train; the model's own if None. Of several processes, each has its own.
        on_step: called after each step, in each process. If it raises, the state is saved and the training ends; in the
            other processes by a KeyboardInterrupt.

    Returns:
        A trained copy, frozen, in the dtype and on the device of the given model. It shares untrained weights with it.

    Raises:
        ConfigError: examples or settings do not fit, or the state file is of another training, or in use.
        TuningDiverged: the loss or the gradient is no longer a number. The state of the last good step is saved.
        OutOfMemory: memory runs out, or an estimate before the training says that it will.
        OutputError: the state cannot be written; raised before the first step if possible.
    """
    config, processes = config or VideoLayersConfig(), join_processes()
    examples = as_examples(data, checkpoint_parts, config)
    with torch.inference_mode(False), torch.enable_grad():
        with explain_out_of_memory("setting up the training", MEND):
            run = VideoLayersRun(lavie_unet, examples, config=config, processes=processes, device=device)
        state = VideoLayersState(state_path, run)
        with hold(state.path if processes.is_main else None):
            state.begin()
            return go_on(run, state, on_step)


def as_examples(
    data: str | Path | CaptionedLatents, parts: EncodingParts | None, config: VideoLayersConfig
) -> CaptionedLatents:
    """What to learn from, encoded."""
    if isinstance(data, CaptionedLatents):
        return data
    if parts is None:
        raise ConfigError(
            got=f"the folder {data} without what encodes it",
            expected="a checkpoint with a VAE and a text encoder",
            mend="Give what load_checkpoint returns.",
        )
    return encode_folder(parts, data, config=config)


def go_on(run: VideoLayersRun, state: VideoLayersState, on_step: OnStep | None) -> InflatedUNet:
    """Takes the steps that are left. An early end saves the state first, unless weights were only partly updated."""
    pace, last = Pace(), run.config.num_steps
    while run.step < last:
        started = time.monotonic()
        try:
            with explain_out_of_memory(f"training on latents of {run.shape}", MEND):
                run.advance()
        except BaseException:
            if not run.updating:
                state.save()
            raise
        pace.add(time.monotonic() - started)
        stopped = tell(on_step, run.progress(eta_seconds=pace.seconds_for(last - run.step)))
        # All processes end after the same step, because each would wait for the others in the next one.
        if run.processes.any(stopped is not None):
            state.save()
            raise stopped or KeyboardInterrupt("another process was told to stop")
        if run.config.save_every and run.step % run.config.save_every == 0:
            state.save()
    state.save()
    return run.result()


def tell(on_step: OnStep | None, progress: VideoLayersProgress) -> BaseException | None:
    """Tells of a step; returns what is raised, with which the training is to end."""
    try:
        if on_step is not None:
            on_step(progress)
    except BaseException as error:
        return error
    return None
