"""A training of LaVie's base in progress: the copy that is trained, the loss of a row, and the update."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ConfigError
from ...models.lavie.schedules import lavie_schedule
from ...models.parameter_names import is_temporal
from ...models.precision import hold_masters, resolve_precision
from ...models.shared_weights import copy_structure
from ...models.unet import InflatedUNet
from ..config import TuneConfig
from ..memory_plan import plan_tuning
from ..progress import VideoLayersProgress
from ..recompute import set_recompute
from ..training_copy import copy_for_training
from ..weight_updates import WeightUpdates
from .captioned_latents import CaptionedLatents, check_counts, check_examples
from .config import VideoLayersConfig
from .draws import Row, draw_row
from .processes import Processes

TEMPORAL = ("attn_temp", "norm_temp")


class VideoLayersRun(WeightUpdates):
    """A training in progress.

    Args:
        unet: the model to start from, which is not changed.
        processes: those that train together.
        device: where to train; the model's own if None.
        others: see `train_video_layers`.
    """

    def __init__(
        self,
        unet: InflatedUNet,
        data: CaptionedLatents,
        *,
        config: VideoLayersConfig,
        processes: Processes,
        device: torch.device | str | None = None,
    ) -> None:
        self.base, self.data, self.config, self.processes = unet, data, config, processes
        self.device = torch.device(processes.device or device or unet.device)
        self.schedule = lavie_schedule("base")
        check_fits(self)
        self.precision = resolve_precision(config.precision, self.device, unet.dtype)
        self.unet = copy_for_training(unet, (), self.precision)
        nn.Module.to(self.unet, self.device)
        names = [name for name, _ in unet.named_parameters() if config.train == "all" or is_temporal(name)]
        num_trained = sum(unet.get_parameter(name).numel() for name in names)
        self.plan = plan_tuning(
            self.unet,
            self.shape,
            config=TuneConfig(memory=config.memory),
            dtype=self.precision,
            num_trained=num_trained,
        )
        for path in trained_paths(unet, config.train):
            hold_masters(self.unet, path, source=unet)
        nn.Module.to(self.unet, self.device)
        set_recompute(self.unet, self.plan.recompute.what, num_levels=self.plan.recompute.num_levels)
        self.trainable = {name: p for name, p in self.unet.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.trainable.values(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)
        self.step = 0
        self.losses: list[float] = []
        self.updating = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the latents of one row."""
        batch, channels, frames, *size = self.data.clips[0].latents.mean.shape
        return (batch, channels, frames + self.config.images_per_clip, *size)

    def draw(self, row: int) -> Row:
        """Draws one row of the next step, from the seed, the step and the row alone."""
        return draw_row(self.data, self.config, self.step, row, self.schedule.num_train_timesteps)

    def loss(self, row: Row) -> Tensor:
        """The mean squared error of the noise in the clip, plus the weighted one in the pictures, in float32."""
        noisy = self.schedule.add_noise(row.latents, row.noise, row.timestep)
        context = row.context.to(device=self.device, dtype=self.precision)
        predicted = self.unet(noisy.to(self.device, self.precision), row.timestep, context).float()
        noise, images = row.noise.to(self.device), self.config.images_per_clip
        frames = noise.shape[2] - images
        loss = F.mse_loss(predicted[:, :, :frames], noise[:, :, :frames])
        if images:
            loss = loss + self.config.image_weight * F.mse_loss(predicted[:, :, frames:], noise[:, :, frames:])
        return loss

    def advance(self) -> float:
        """One step on freshly drawn rows; returns the loss, the mean over the rows of all processes.

        A row is done with before the next begins, so that memory holds one.

        Raises:
            TuningDiverged: before any weight changes.
        """
        self.optimizer.zero_grad(set_to_none=True)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate
        total = torch.zeros((), dtype=torch.float32, device=self.device)
        for row in self.processes.share(self.config.clips_per_step):
            loss = self.loss(self.draw(row)) / self.config.clips_per_step
            self.scaler.scale(loss).backward()
            total += loss.detach()
        value = self.processes.sum(total).item()
        self.check_finite("loss", value)
        self.processes.sum_gradients(self.trainable.values())
        self.update(value)
        return value

    def progress(self, *, eta_seconds: float) -> VideoLayersProgress:
        num_steps = self.config.num_steps
        return VideoLayersProgress(step=self.step, num_steps=num_steps, loss=self.losses[-1], eta_seconds=eta_seconds)

    def result(self) -> InflatedUNet:
        """The trained model, in the given one's dtype and on its device; it shares the weights that are not trained."""
        trained = copy_structure(self.base)
        for name, parameter in self.trainable.items():
            trained.get_parameter(name).data = parameter.detach().to(self.base.device, self.base.dtype, copy=True)
        return trained.eval().requires_grad_(False)


def trained_paths(unet: InflatedUNet, train: str) -> list[str]:
    """The paths of the modules that are trained; "" is the whole UNet."""
    if train == "all":
        return [""]
    return [name for name, _ in unet.named_modules() if name.endswith(TEMPORAL)]


def check_fits(run: VideoLayersRun) -> None:
    """Raises `ConfigError` if model, examples, settings and processes do not go together."""
    unet, data, config = run.base, run.data, run.config
    check_counts("the examples", len(data.clips), len(data.pictures), config)
    if not unet.temporal_state() or unet.config.in_channels != unet.config.out_channels:
        raise ConfigError(
            got=f"a UNet of {unet.config.in_channels} input channels, {len(unet.temporal_state())} temporal weights",
            expected="LaVie's base, which has layers over time and sees latents alone",
            mend='Load it with load_lavie(path, "base").',
        )
    if config.images_per_clip and unet.modes["attention"] != "spatial":
        raise ConfigError(
            got=f"pictures beside clips, for a UNet with attention {unet.modes['attention']!r}",
            expected="attention 'spatial', as LaVie's base has: pictures belong to no clip",
            mend="Inflate it with inflate_base, or set images_per_clip to 0.",
        )
    check_examples(data, width=unet.config.cross_attention_dim)
    if config.clips_per_step < run.processes.count:
        raise ConfigError(
            got=f"clips_per_step {config.clips_per_step} on {run.processes.count} processes",
            expected="one clip for each process at least",
            mend=f"Set clips_per_step to {run.processes.count}, or a multiple of it.",
        )
