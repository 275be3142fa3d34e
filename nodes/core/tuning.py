"""Tuning on a core MODEL: a diffusers UNet is made of its weights, tuned by the library, and given back."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import comfy.model_management
import torch
from torch import Tensor

from ...tav_core.denoisers.denoiser import UNetDenoiser
from ...tav_core.errors import MotionError
from ...tav_core.models.precision import resolve_precision
from ...tav_core.models.unet import InflatedUNet
from ...tav_core.tuning.config import TuneConfig
from ...tav_core.tuning.motion import Motion
from ...tav_core.tuning.tune import tune
from ..sockets.bridge import check_context, to_latents
from .motion import carries_motion
from .unet import check_model, read_schedule, read_unet

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...tav_core.tuning.early_stop import EarlyStop
    from ...tav_core.tuning.progress import TuneProgress
    from .preview import Prompts


class Watcher(Protocol):
    """Who looks on while a model is tuned: called after each step; what it raises ends the run."""

    # Ends the run when its scores get no better; None for never.
    early_stop: EarlyStop | None

    def begin(self, untuned: UNetDenoiser, base: Any, latents: Tensor) -> None:
        """Told once what is tuned and on which latents, before the first step."""
        ...

    def end(self) -> None:
        """Told once that the models are to be let go of."""
        ...

    def __call__(self, progress: TuneProgress) -> None: ...


def tune_model(
    model: ModelPatcher,
    vae: Any,
    frames: Tensor,
    prompts: Prompts,
    *,
    config: TuneConfig,
    modes: dict[str, Any],
    half: bool,
    state_path: Path,
    about: dict[str, Any],
    watcher: Watcher,
) -> Motion:
    """Tunes a MODEL on a clip, leaving it as it is.

    Args:
        frames: `f h w c` in [0, 1].
        modes: attention, attention_k, positions of the inflated UNet.
        half: hold the frozen weights in half precision even where core holds them in float32.
        watcher: told of each step; what it raises ends the run, whose state is then saved.

    Raises:
        what `tune` raises, and CheckpointError for a model of another family.
    """
    check_model(model)
    if carries_motion(model):
        raise MotionError(
            got="a MODEL that has a motion on it",
            expected="the MODEL of a checkpoint loader, with LoRAs or without",
            mend="Connect One-Shot Tune to the loader.",
        )
    device = comfy.model_management.get_torch_device()
    latents = to_latents(vae.encode(frames[..., :3]), model)
    # Tuning needs the room that core's models take.
    comfy.model_management.unload_all_models()
    comfy.model_management.soft_empty_cache()
    try:
        with torch.inference_mode(False), torch.no_grad():
            base = read_unet(model, dtype=frozen_dtype(model, config.precision, half, device), device=device)
            for socket, context in prompts._asdict().items():
                if context is not None:
                    check_context(context, base.config.cross_attention_dim, socket)
            untuned = UNetDenoiser(unet=InflatedUNet.from_2d(base, **modes), schedule=read_schedule(model))
            latents = latents.clone().to(device)
            # Previews of a long clip show its beginning: they have no windows.
            watcher.begin(untuned, base, latents[:, :, : config.window or None])
            context = prompts.outside_inference().source
            watched = {"on_step": watcher, "early_stop": watcher.early_stop}
            return tune(untuned, latents, context, config=config, state_path=state_path, **watched, **about)
    finally:
        watcher.end()
        gc.collect()
        comfy.model_management.soft_empty_cache()


def frozen_dtype(model: ModelPatcher, precision: str, half: bool, device: torch.device) -> torch.dtype:
    """The dtype of the weights that do not train: what is computed in, so that they need not be rounded again."""
    if device.type == "cpu" and precision == "auto":
        half_type = torch.bfloat16 if comfy.model_management.should_use_bf16(device) else torch.float16
        return half_type if half else torch.float32
    return resolve_precision(precision, device, torch.float32)
