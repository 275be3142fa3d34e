"""Tuning on a core MODEL: the library tunes a diffusers UNet that is built from a copy of the MODEL's weights."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import comfy.model_management
import torch
from torch import Tensor

from ...tav_core.denoisers.denoiser import UNetDenoiser
from ...tav_core.errors import FewerSteps, MotionError
from ...tav_core.models.precision import resolve_precision
from ...tav_core.models.unet import InflatedUNet
from ...tav_core.tuning.clips_run import ClipsMotion, ClipToLearn, tune_clips
from ...tav_core.tuning.config import TuneConfig
from ...tav_core.tuning.motion import Motion
from ...tav_core.tuning.progress import TuneWatcher
from ...tav_core.tuning.tune import tune
from ...tav_core.video.config import ClipInfo
from ..sockets.bridge import check_context, text_width, to_latents
from ..sockets.folders import shorter_run_path
from ..sockets.told import pooled_width
from .frames import encode_frames
from .motion import describe_video_model, looks_across_frames
from .unet import check_model, read_schedule, read_unet

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...tav_core.tuning.early_stop import EarlyStop
    from .preview import Prompts


Tuned = TypeVar("Tuned")


class Watcher(TuneWatcher, Protocol):
    """Shows a run, from before its models are read to its end."""

    # Ends the run when its scores stop improving; None to run all steps.
    early_stop: EarlyStop | None

    def prepare(self, doing: str, done: int = 0, total: int = 0) -> None:
        """Called for what takes long before the first step, with how much of it is done if that is known."""
        ...

    def begin(self, untuned: UNetDenoiser, base: Any, latents: Tensor) -> None:
        """Called once before the first step, with what is tuned and the latents it is tuned on."""
        ...

    def end(self) -> None:
        """Called once at the end, to let go of the models."""
        ...


def tune_model(
    model: ModelPatcher,
    vae: Any,
    frames: Tensor,
    prompts: Prompts,
    *,
    config: TuneConfig,
    modes: dict[str, Any],
    state_path: Path,
    about: ClipInfo,
    watcher: Watcher,
    start: Motion | None = None,
) -> Motion:
    """Tunes a copy of a MODEL on a clip; the MODEL itself is not changed.

    Args:
        frames: `f h w c` in [0, 1].
        config: memory "low" holds the frozen weights in half precision even where ComfyUI holds them in float32.
        modes: attention, attention_k, positions, group norm and temporal blocks of the inflated UNet.
        state_path: of the run. If that run has done more steps than are asked for, it is kept, and the state of the
            shorter one lies beside it.
        about: what the motion records of the clip.
        start: a motion to begin from; unless the modes say otherwise, they are its own.
        watcher: called after each step; an exception that it raises ends the run, whose state is then saved.

    Raises:
        CheckpointError: the model is of another family.
        MotionError: the model already has a motion.
        Other errors: see `tune`.
    """
    check_untuned(model)
    check_prompts(model, prompts._asdict())
    if start is not None:
        said = {name: mode for name, mode in modes.items() if (name, mode) != ("temporal", "auto")}
        modes = {**start.info.all_modes, **said}
    run = {"config": config, "about": about, "on_step": watcher, "early_stop": watcher.early_stop, "start": start}
    with training(model, vae, [frames], config=config, modes=modes, watcher=watcher) as (untuned, (latents,)):
        context = prompts.outside_inference().source
        return or_shorter(lambda state: tune(untuned, latents, context, state_path=state, **run), state_path, config)


def tune_clips_model(
    model: ModelPatcher,
    vae: Any,
    clips: Sequence[Tensor],
    prompts: Sequence[Prompts],
    *,
    config: TuneConfig,
    modes: dict[str, Any],
    appearance_rank: int,
    state_path: Path,
    watcher: Watcher,
) -> ClipsMotion:
    """Tunes a copy of a MODEL on a few clips of one motion; the MODEL itself is not changed.

    Args:
        clips: each `f h w c` in [0, 1], all of one length and size.
        prompts: for each clip, what it shows; previews are those of the first.
        appearance_rank: of what each clip looks like.
        others: see `tune_model`.

    Raises:
        CheckpointError, MotionError: see `tune_model`.
        Other errors: see `tune_clips`.
    """
    check_untuned(model)
    for letter, each in zip("abcde", prompts, strict=False):
        check_prompts(model, {f"positive_{letter}": each.source, "previews": each.preview, "negative": each.negative})
    run = {"config": config, "appearance_rank": appearance_rank, "on_step": watcher}
    with training(model, vae, clips, config=config, modes=modes, watcher=watcher) as (untuned, latents):
        told = [each.outside_inference().source for each in prompts]
        learned = [ClipToLearn(latents=each, context=text) for each, text in zip(latents, told, strict=True)]
        return or_shorter(lambda state: tune_clips(untuned, learned, state_path=state, **run), state_path, config)


@contextmanager
def training(
    model: ModelPatcher,
    vae: Any,
    clips: Sequence[Tensor],
    *,
    config: TuneConfig,
    modes: dict[str, Any],
    watcher: Watcher,
) -> Iterator[tuple[UNetDenoiser, list[Tensor]]]:
    """Outside of inference mode and with the room that core's models took: an inflated copy of a MODEL, and the clips'
    latents. Both are let go of at the end.
    """
    device = comfy.model_management.get_torch_device()
    total, before = sum(map(len, clips)), 0
    encoded: list[Tensor] = []
    for frames in clips:
        count = lambda done, _, before=before: watcher.prepare("encoding the frames", before + done, total)  # noqa: E731
        encoded.append(to_latents(encode_frames(vae, frames[..., :3], on_frame=count), model))
        before += len(frames)
    watcher.prepare("reading the model")
    comfy.model_management.unload_all_models()
    comfy.model_management.soft_empty_cache()
    try:
        with torch.inference_mode(False), torch.no_grad():
            base = read_unet(model, dtype=frozen_dtype(config, device), device=device)
            untuned = UNetDenoiser(unet=InflatedUNet.from_2d(base, **modes), schedule=read_schedule(model))
            latents = [each.clone().to(device) for each in encoded]
            # Previews of a long clip show its beginning: they have no windows.
            watcher.begin(untuned, base, latents[0][:, :, : config.window or None])
            yield untuned, latents
    finally:
        watcher.end()
        gc.collect()
        comfy.model_management.soft_empty_cache()


def or_shorter(run: Callable[[Path], Tuned], state_path: Path, config: TuneConfig) -> Tuned:
    """What a run gives. If the run of this name has done more steps than are asked for, it stays as it is; the shorter
    one has a state of its own.
    """
    try:
        return run(state_path)
    except FewerSteps:
        return run(shorter_run_path(state_path, config.num_steps))


def check_prompts(model: ModelPatcher, prompts: Mapping[str, Any]) -> None:
    """Raises `ConfigError` unless all prompts, by their sockets, are of a MODEL's family; None is none."""
    for socket, context in prompts.items():
        if context is not None:
            check_context(context, text_width(model), socket, pooled=pooled_width(model))


def check_untuned(model: ModelPatcher) -> None:
    """Checks that a MODEL can be tuned.

    Raises:
        CheckpointError: it is of another family.
        MotionError: it already has a motion, or attention across frames.
    """
    check_model(model)
    if looks_across_frames(model):
        raise MotionError(
            got=describe_video_model(model),
            expected="the MODEL of a checkpoint loader, with or without LoRAs",
            mend="Connect the loader.",
        )


def frozen_dtype(config: TuneConfig, device: torch.device) -> torch.dtype:
    """The dtype to hold the frozen weights in: the one that is computed in, so that no cast is needed later."""
    if device.type == "cpu" and config.precision == "auto":
        half_type = torch.bfloat16 if comfy.model_management.should_use_bf16(device) else torch.float16
        return half_type if config.memory == "low" else torch.float32
    return resolve_precision(config.precision, device, torch.float32)
