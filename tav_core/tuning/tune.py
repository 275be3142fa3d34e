"""One-shot tuning: the loop that teaches an inflated model the motion of one clip (Tune-A-Video, arXiv 2212.11565).

The recipe is the original's (configs/*.yaml and train_tuneavideo.py), save for its flaws: latents and text are encoded
once, gradient checkpointing is non-reentrant so that every trainable tensor trains, and a run can be resumed.

Everything random in a step comes from (seed, step). So a resumed run draws what an unbroken one draws.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..atomic_files import hold
from ..denoisers.denoiser import UNetDenoiser
from ..denoisers.windows import window_around, with_anchor
from ..errors import ConfigError, LatentsError, OutOfMemory, TuningDiverged, explain_out_of_memory
from ..layouts import VAE_FACTOR, check_context, check_values
from ..models.attention_modes import recorded_modes
from ..models.memory import MemoryPlan, plan_tuning
from ..models.parameter_names import is_temporal
from ..models.precision import resolve_precision
from ..version import __version__
from .config import TuneConfig
from .motion import Motion, hash_base
from .motion_info import MotionInfo, as_json, describe_architecture
from .progress import TuneProgress
from .recompute import set_recompute
from .state import RunState
from .training_copy import copy_for_training

if TYPE_CHECKING:
    from ..models.latents import LatentMoments
    from .early_stop import EarlyStop


OnStep = Callable[[TuneProgress], None]
MEND = "Use memory 'low', a window, fewer frames, a smaller size, or fp16/bf16 precision."


def tune(
    denoiser: UNetDenoiser,
    clip: LatentMoments | Tensor,
    context: Tensor,
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
        context: embeddings of the source prompt, `1 m d`.
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


class TuningRun:
    """A tuning in progress: the trainable copy of the model, the optimizer, and how far it got.

    Args:
        plan: what to recompute; chosen by the config and the free memory where None.
        others: see `tune`.
    """

    def __init__(
        self,
        denoiser: UNetDenoiser,
        clip: LatentMoments | Tensor,
        context: Tensor,
        *,
        config: TuneConfig,
        about: dict | None = None,
        plan: MemoryPlan | None = None,
    ) -> None:
        self.config, self.schedule, self.base = config, denoiser.schedule, denoiser.unet
        self.precision = resolve_precision(config.precision, self.base.device, self.base.dtype)
        self.unet = copy_for_training(self.base, config.modules, self.precision)
        self.trainable = {name: p for name, p in self.unet.named_parameters() if p.requires_grad}
        check_context(context, width=self.base.config.cross_attention_dim, values=True)
        self.mean, self.std = split_moments(clip, self.base.device, channels=self.base.config.in_channels)
        num_trained = sum(p.numel() for p in self.trainable.values())
        self.plan = plan or plan_tuning(
            self.base, self.step_shape, config=config, dtype=self.precision, num_trained=num_trained
        )
        set_recompute(self.unet, self.plan.recompute.what, num_levels=self.plan.recompute.num_levels)
        self.optimizer = torch.optim.AdamW(
            self.trainable.values(),
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
            fused=self.base.device.type in ("cpu", "cuda"),
        )
        self.scaler = torch.amp.GradScaler(self.base.device.type, enabled=self.precision == torch.float16)
        self.context = context.detach().clone().to(self.base.device)
        self.about = about or {}
        self.step, self.losses = 0, []
        # Of early stopping: what scores by, and the score of each step that was scored.
        self.scored_by, self.scores = "", {}
        # Whether an update has begun and not ended: then the weights are of no step, and must not be saved.
        self.updating = False

    @property
    def num_frames(self) -> int:
        return self.mean.shape[2]

    @property
    def step_shape(self) -> tuple[int, ...]:
        """The shape of the latents that one step trains on, at the most: a window has frame 0 in front."""
        shape = list(self.mean.shape)
        if self.config.window:
            shape[2] = min(self.config.window + 1, self.num_frames)
        return tuple(shape)

    def draw(self) -> tuple[Tensor, Tensor, int]:
        """Latents, noise and timestep of the next step, from the seed and the step alone.

        With `config.window` they are of the frames around one of the clip's, with frame 0 in front as in rendering.
        """
        word = int(np.random.SeedSequence((self.config.seed, self.step)).generate_state(1)[0])
        generator = torch.Generator().manual_seed(word)
        timestep = int(torch.randint(0, self.schedule.num_train_timesteps, (1,), generator=generator))
        mean, std = self.mean, self.std
        if 0 < self.config.window < self.num_frames:
            middle = int(torch.randint(0, self.num_frames, (1,), generator=generator))
            frames = with_anchor(window_around(middle, self.num_frames, self.config.window))
            mean, std = mean[:, :, frames], std[:, :, frames]
        posterior, noise = torch.randn((2, *mean.shape), generator=generator).to(mean)
        return mean + std * posterior, noise, timestep

    def loss(self, latents: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """Mean squared error of the prediction, in float32, for one video at one timestep."""
        noisy = self.schedule.add_noise(latents, noise, timestep)
        target = self.schedule.training_target(latents, noise, timestep)
        predicted = self.unet(noisy.to(self.precision), timestep, self.context.to(self.precision))
        # Frame 0 in front of a window does not count; without a window this is all frames.
        predicted, target = (x.float()[:, :, -self.config.window :] for x in (predicted, target))
        return F.mse_loss(predicted, target)

    def advance(self) -> float:
        """One optimizer step on freshly drawn inputs; returns the loss."""
        return self.train_on(*self.draw())

    def train_on(self, latents: Tensor, noise: Tensor, timestep: int) -> float:
        """One optimizer step on given inputs; returns the loss. Raises `TuningDiverged` before any weight changes."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.step)
        loss = self.loss(latents, noise, timestep)
        value = loss.item()
        self.check_finite("loss", value)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.trainable.values(), self.config.max_grad_norm)
        if self.precision != torch.float16:
            # The fp16 scaler skips a step whose gradients overflow, and lowers its scale: no divergence.
            self.check_finite("gradient norm", norm.item())
        self.updating = True
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self.losses.append(value)
        self.updating = False
        return value

    def check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise TuningDiverged(
                got=f"a {what} of {value} at step {self.step + 1}",
                expected="a finite number",
                mend=f"Lower the learning rate ({self.config.learning_rate:g}) or use bf16 or fp32 precision; "
                f"the state after step {self.step} is kept.",
            )

    def progress(self, *, eta_seconds: float) -> TuneProgress:
        return TuneProgress(
            step=self.step,
            num_steps=self.config.num_steps,
            loss=self.losses[-1],
            learning_rate=self.config.learning_rate_at(self.step - 1),
            eta_seconds=eta_seconds,
            losses=tuple(self.losses),
            plan=self.plan,
            motion=self.motion,
        )

    @explain_out_of_memory("copying the motion", "Close what else holds memory; the state on the disk is whole.")
    def motion(self) -> Motion:
        """The motion so far: copies, on the CPU in float32."""
        tuned = {name: p.detach().cpu().float() for name, p in self.trainable.items()}
        base = dict(self.base.named_parameters())
        deltas = {n: t - base[n].detach().cpu().float() for n, t in tuned.items() if not is_temporal(n)}
        temporal = {n: t.detach().cpu().float().clone() for n, t in self.unet.temporal_state().items()}
        info = MotionInfo(
            architecture=describe_architecture(self.base),
            base_hash=self.base_hash,
            num_frames=self.num_frames,
            height=self.mean.shape[3] * VAE_FACTOR,
            width=self.mean.shape[4] * VAE_FACTOR,
            modes=recorded_modes(self.base.modes),
            config=as_json(asdict(self.config)),
            steps_done=self.step,
            pack_version=__version__,
            **self.about,
        )
        return Motion(deltas=deltas, temporal=temporal, info=info)

    @cached_property
    def base_hash(self) -> str:
        """The hash of the base model's weights."""
        return hash_base(self.base)


def split_moments(clip: LatentMoments | Tensor, device: torch.device, *, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a clip's latents, `1 c f h w`, as float32 copies; fixed latents have none."""
    mean = clip if isinstance(clip, Tensor) else getattr(clip, "mean", clip)
    check_values(mean, channels=channels)
    std = torch.zeros_like(mean) if mean is clip else clip.std
    if std.shape != mean.shape:
        raise LatentsError(
            got=f"latents whose std is {tuple(std.shape)}, their mean {tuple(mean.shape)}",
            expected="the same shape",
            mend="Encode the clip again.",
        )
    if mean.shape[0] != 1:
        raise ConfigError(got=f"{mean.shape[0]} clips", expected="one", mend="Tune on each clip by itself.")
    return tuple(x.detach().clone().to(device, torch.float32) for x in (mean, std))
