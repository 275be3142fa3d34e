"""A tuning in progress: the trainable copy of the model, the optimizer, one step, and the motion so far."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..denoisers.denoiser import UNetDenoiser
from ..denoisers.windows import window_around, with_anchor
from ..errors import ConfigError, LatentsError, explain_out_of_memory
from ..layouts import VAE_FACTOR, check_values
from ..models.conditioning import Conditioning, as_conditioning
from ..models.families import describe_architecture, find_family
from ..models.parameter_names import is_temporal
from ..models.precision import resolve_precision
from ..models.schedule import draw_noise
from ..models.unet_inputs import fill_size_ids
from ..settings import as_json
from ..version import __version__
from ..video.config import ClipInfo
from .appearance import is_appearance
from .config import TuneConfig
from .debias import debiased_loss, draw_anchor
from .low_rank import is_factor, read_deltas
from .memory_plan import MemoryPlan, plan_tuning
from .motion import Motion, format_for, hash_base
from .motion_info import MotionInfo, describe_clip
from .progress import TuneProgress
from .recompute import set_recompute
from .start import begin_from, deltas_since, hash_motion, hash_start, rank_of
from .training_copy import check_tunable, copy_for_training
from .weight_updates import WeightUpdates

if TYPE_CHECKING:
    from ..models.latents import LatentMoments
    from ..models.unet import InflatedUNet


class TuningRun(WeightUpdates):
    """A tuning in progress: the trainable copy of the model, the optimizer, and how far it has got.

    `appearance_rank` is 0 but for runs on several clips, see clips_run.py.

    Args:
        plan: what to recompute; if None, the config and the free memory decide.
        others: see `tune`.
    """

    appearance_rank = 0

    def __init__(
        self,
        denoiser: UNetDenoiser,
        clip: LatentMoments | Tensor,
        context: Conditioning | Tensor,
        *,
        config: TuneConfig,
        about: ClipInfo | None = None,
        start: Motion | None = None,
        plan: MemoryPlan | None = None,
    ) -> None:
        check_tunable(denoiser)
        self.config, self.schedule, self.base = config, denoiser.schedule, denoiser.unet
        self.precision = resolve_precision(config.precision, self.base.device, self.base.dtype)
        self.start = start
        # A start that changes no query, such as one of temporal layers alone, leaves the rank of queries open.
        usual = rank_of(start) if start is not None and start.deltas else find_family(self.base.config).query_rank
        self.query_rank = usual if config.query_rank < 0 else config.query_rank
        self.unet = self.copy_base()
        if start is not None:
            begin_from(start, self.unet, self.base)
        self.trainable = {name: p for name, p in self.unet.named_parameters() if p.requires_grad}
        context = as_conditioning(context)
        context.check(width=self.base.config.cross_attention_dim, values=True)
        self.mean, self.std = split_moments(clip, self.base.device, channels=self.base.config.in_channels)
        context = fill_size_ids(context, self.mean, self.base.size_ids)
        num_trained = sum(p.numel() for p in self.trainable.values())
        self.plan = plan or plan_tuning(
            self.base, self.step_shape, config=config, dtype=self.precision, num_trained=num_trained
        )
        set_recompute(self.unet, self.plan.recompute.what, num_levels=self.plan.recompute.num_levels)
        self.optimizer = torch.optim.AdamW(
            group_parameters(self.trainable, config),
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
            fused=self.base.device.type in ("cpu", "cuda"),
        )
        self.scaler = torch.amp.GradScaler(self.base.device.type, enabled=self.precision == torch.float16)
        # A copy, because a restored state is written into it.
        self.context = context.map(lambda part: part.detach().clone()).to(device=self.base.device)
        self.about = about or ClipInfo()
        # What the motion records of the settings.
        self.recorded: dict[str, Any] = {**as_json(asdict(config)), "query_rank": self.query_rank}
        if start is not None:
            self.recorded["start"] = self.start_hash
        self.step = 0
        self.losses: list[float] = []
        # For early stopping: what the scores depend on, and the score of each step that was scored.
        self.scored_by = ""
        self.scores: dict[int, float] = {}
        self.updating = False

    def copy_base(self) -> InflatedUNet:
        """The copy of the base that trains."""
        rank, seed = self.query_rank, self.config.seed
        return copy_for_training(self.base, self.config.modules, self.precision, rank=rank, seed=seed)

    @cached_property
    def start_hash(self) -> str | None:
        """What the run started from: a motion, or temporal layers; None for neither."""
        return hash_start(self.base) if self.start is None else hash_motion(self.start)

    @property
    def learned_from(self) -> tuple[Tensor, Tensor, Conditioning]:
        """All that a run learns from, by which its state is known: mean and deviation of the latents, the prompt."""
        return self.mean, self.std, self.context

    @property
    def num_frames(self) -> int:
        return self.mean.shape[2]

    @property
    def step_shape(self) -> tuple[int, ...]:
        """The largest shape of latents that a step trains on: a window has frame 0 in front."""
        shape = list(self.mean.shape)
        if self.config.window:
            shape[2] = min(self.config.window + 1, self.num_frames)
        return tuple(shape)

    @property
    def timesteps(self) -> tuple[int, int]:
        """The lowest timestep that is trained, and the one below which all are."""
        low, high = self.config.min_timestep, min(self.config.max_timestep, self.schedule.num_train_timesteps)
        if low >= high:
            raise ConfigError(
                got=f"min_timestep {low} for a model of {high} timesteps",
                expected=f"0 to {high - 1}",
                mend="Use 0 for all timesteps.",
            )
        return low, high

    def draw(self) -> tuple[Tensor, Tensor, int]:
        """Draws latents, noise and timestep of the next step, from the seed and the step alone.

        With `config.window`, it takes the frames around a random one, with frame 0 in front, as in rendering.
        """
        word = int(np.random.SeedSequence((self.config.seed, self.step)).generate_state(1)[0])
        generator = torch.Generator("cpu").manual_seed(word)
        timestep = int(torch.randint(*self.timesteps, (1,), generator=generator, device="cpu"))
        mean, std = self.mean, self.std
        if 0 < self.config.window < self.num_frames:
            middle = int(torch.randint(0, self.num_frames, (1,), generator=generator, device="cpu"))
            frames = with_anchor(window_around(middle, self.num_frames, self.config.window))
            mean, std = mean[:, :, frames], std[:, :, frames]
        posterior, noise = draw_noise((2, *mean.shape), generator).to(mean)
        if self.config.noise_offset:
            # One value for all frames: an offset per frame would teach flicker.
            noise = noise + self.config.noise_offset * draw_noise((1, mean.shape[1], 1, 1, 1), generator).to(mean)
        return mean + std * posterior, noise, timestep

    def loss(self, latents: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """Mean squared error of the prediction, in float32, times the timestep's weight, for one video."""
        noisy = self.schedule.add_noise(latents, noise, timestep)
        target = self.schedule.training_target(latents, noise, timestep)
        predicted = self.unet(noisy.to(self.precision), timestep, self.context.to(dtype=self.precision))
        # Frame 0 in front of a window does not count; without a window this is all frames.
        predicted, target = (x.float()[:, :, -self.config.window :] for x in (predicted, target))
        loss = F.mse_loss(predicted, target)
        # A single frame has none to differ from.
        if self.config.appearance_debias and predicted.shape[2] > 1:
            anchor = draw_anchor(predicted.shape[2], seed=self.config.seed, step=self.step)
            loss = loss + self.config.appearance_debias * debiased_loss(predicted, target, anchor=anchor)
        return loss * self.schedule.min_snr_weight(timestep, self.config.min_snr_gamma)

    def advance(self) -> float:
        """One optimizer step on freshly drawn inputs; returns the loss."""
        return self.train_on(*self.draw())

    def train_on(self, latents: Tensor, noise: Tensor, timestep: int) -> float:
        """One optimizer step on given inputs; returns the loss. Raises `TuningDiverged` before any weight changes."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.step) * group["times"]
        self.optimizer.zero_grad(set_to_none=True)
        value = self.add_gradients(latents, noise, timestep)
        self.update(value)
        return value

    def add_gradients(self, latents: Tensor, noise: Tensor, timestep: int) -> float:
        """Adds a loss's gradients to the weights'; returns the loss. Raises `TuningDiverged` if it is no number."""
        loss = self.loss(latents, noise, timestep)
        value = loss.item()
        self.check_finite("loss", value)
        self.scaler.scale(loss).backward()
        return value

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

    @explain_out_of_memory("copying the motion", "Close other programs; the state on disk is complete.")
    def motion(self) -> Motion:
        """The motion so far, as copies on the CPU in float32."""
        told = {name: p for name, p in self.trainable.items() if not is_appearance(name)}
        tuned = {name: p.detach().cpu().float() for name, p in told.items()}
        base = dict(self.base.named_parameters())
        deltas = read_deltas({n: t for n, t in tuned.items() if not is_temporal(n)}, base)
        temporal = {n: t.detach().cpu().float().clone() for n, t in self.unet.temporal_state().items()}
        if self.start is not None:
            deltas = deltas_since(self.start, deltas, base)
            # Those that do not train may be held in half precision.
            temporal |= {n: t for n, t in self.start.temporal.items() if n not in self.trainable}
            if self.step == 0:
                return Motion(deltas=deltas, temporal=temporal, info=self.start.info)
        modes = self.base.recorded_modes
        info = MotionInfo(
            architecture=describe_architecture(self.base),
            base_hash=self.base_hash,
            num_frames=self.num_frames,
            height=self.mean.shape[3] * VAE_FACTOR,
            width=self.mean.shape[4] * VAE_FACTOR,
            modes=modes,
            config=self.recorded,
            steps_done=self.step,
            size_ids=[] if self.context.size_ids is None else self.context.size_ids[0].tolist(),
            pack_version=__version__,
            format_version=format_for(deltas, modes),
            **describe_clip(self.about),
        )
        return Motion(deltas=deltas, temporal=temporal, info=info)

    @cached_property
    def base_hash(self) -> str:
        """The hash of the base model's weights."""
        return hash_base(self.base)


def group_parameters(trainable: dict[str, nn.Parameter], config: TuneConfig) -> list[dict[str, Any]]:
    """The optimizer's groups: all weights alike, and low-rank factors with a learning rate so many `times` as high."""
    names = [name for name in trainable if is_factor(name) or is_appearance(name)]
    factors = [trainable[name] for name in names]
    others = [parameter for name, parameter in trainable.items() if name not in names]
    times = config.low_rank_learning_rate / config.learning_rate
    groups: list[dict[str, Any]] = [{"params": others, "times": 1.0}, {"params": factors, "times": times}]
    return [group for group in groups if group["params"]]


def split_moments(clip: LatentMoments | Tensor, device: torch.device, *, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a clip's latents, `1 c f h w`, as float32 copies; fixed latents have none."""
    mean: Any = clip if isinstance(clip, Tensor) else getattr(clip, "mean", clip)
    check_values(mean, channels=channels)
    std = torch.zeros_like(mean) if isinstance(clip, Tensor) else clip.std
    if std.shape != mean.shape:
        raise LatentsError(
            got=f"latents whose std is {tuple(std.shape)}, their mean {tuple(mean.shape)}",
            expected="the same shape",
            mend="Encode the clip again.",
        )
    if mean.shape[0] != 1:
        raise ConfigError(got=f"{mean.shape[0]} clips", expected="one", mend="Tune on one clip at a time.")
    mean, std = (x.detach().clone().to(device, torch.float32) for x in (mean, std))
    return mean, std
