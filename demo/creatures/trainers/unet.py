"""The UNet, trained on the latents of the stills in a course that resumes where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from tav_core.layouts import VAE_FACTOR
from tav_core.models.unet_inputs import picture_sizes

from ...trainers.common import Log, save_state, set_learning_rate
from ...trainers.text import WIDTH
from ...trainers.unet import make_scheduler, snr_weights
from ..stills import SEED
from .device import DEVICE, prepare_device
from .paths import CACHE, LOG, MODEL
from .text import embed_captions
from .vae import encode_stills

STATE = CACHE / "unet_state.pt"
# (first step, batch): growing batches take noise out of the gradient as a falling learning rate does (arXiv
# 1711.00489), and cost a GPU little.
BATCHES = ((0, 32), (1500, 64), (4000, 128))
# A warm-up, then a constant rate until COOL_DOWN, then a line to zero, so that the length can be decided late.
WARM_UP, COOL_DOWN, NUM_STEPS = 100, 7200, 9300
PEAK_RATE = 6e-4
EMA_DECAY = 0.999
EMPTY_SHARE = 0.1
LOG_EVERY, SAVE_EVERY = 100, 500


def make_unet() -> UNet2DConditionModel:
    """An untrained UNet: 8 heads and 32 groups, as Stable Diffusion 1.x has."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=32,
        cross_attention_dim=WIDTH,
    )


def rate_at(step: int) -> float:
    """The learning rate of a step."""
    left = (NUM_STEPS - step) / (NUM_STEPS - COOL_DOWN)
    return PEAK_RATE * min(1.0, (step + 1) / WARM_UP, left)


def batch_at(step: int) -> int:
    """How many stills a step is trained on."""
    return [batch for first, batch in BATCHES if first <= step][-1]


def samples_before(step: int) -> int:
    """How many stills all steps before this one were trained on."""
    ends = [*(first for first, _ in BATCHES[1:]), step]
    parts = zip(BATCHES, ends, strict=True)
    return sum(batch * (min(end, step) - first) for (first, batch), end in parts if first < step)


def stratified_timesteps(count: int, device: torch.device) -> Tensor:
    """One timestep from each of `count` equal parts of the schedule, in random order: losses vary less from step to
    step."""
    parts = (torch.randperm(count, device=device) + torch.rand(count, device=device)) / count
    return (1000 * parts).long().clamp(max=999)


def add_noise(latents: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """Latents `n c h w` or `n c f h w` with noise, by the cumulative alpha of each one's timestep, `n`; on any device,
    without a copy between devices."""
    alphas = alphas.view(-1, *[1] * (latents.dim() - 1))
    return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a UNet is taught, and where its files go.

    Args:
        make_unet: makes an untrained one.
        latents: gives those of all stills, `n c h w`, whatever their variance.
        told: gives what it may be told, tables with one row per caption, the empty one first: text `m 77 c`, and for
            Stable Diffusion XL the pooled text `m c`; and `stills captions` indices into them.
        state: the file of a course that was stopped.
        log: the log's file.
        model: the model's folder.
    """

    make_unet: Callable[[], UNet2DConditionModel]
    latents: Callable[[], Tensor]
    told: Callable[[], tuple[tuple[Tensor, ...], Tensor]]
    state: Path
    log: Path
    model: Path


def usual_lesson() -> Lesson:
    """The model of this world, in Stable Diffusion 1.x's layout."""

    def told() -> tuple[tuple[Tensor, ...], Tensor]:
        table, captions = embed_captions()
        return (table,), captions

    return Lesson(make_unet=make_unet, latents=encode_stills, told=told, state=STATE, log=LOG, model=MODEL)


class Predictor(nn.Module):
    """The UNet as a function of tensors alone. On a GPU it is recorded as a graph for each size of batch, because so
    small a UNet spends most of a step on launching its kernels."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet
        # The six sizes of a whole picture, which Stable Diffusion XL is told beside the pooled text.
        side = unet.config.sample_size * VAE_FACTOR
        self.register_buffer("sizes", torch.tensor([picture_sizes(side, side)], device=unet.device), persistent=False)

    def forward(self, noisy: Tensor, timesteps: Tensor, context: Tensor, *pooled: Tensor) -> Tensor:
        sizes = self.sizes.expand(len(noisy), -1)
        added = {"added_cond_kwargs": {"text_embeds": pooled[0], "time_ids": sizes}} if pooled else {}
        return self.unet(noisy, timesteps, context, return_dict=False, **added)[0]

    def recorded(self, *inputs: Tensor) -> nn.Module:
        """A predictor for inputs of these shapes."""
        fresh = Predictor(self.unet)
        return torch.cuda.make_graphed_callables(fresh, inputs) if DEVICE.type == "cuda" else fresh


class UNetCourse:
    """The UNet, its moving average, optimizer and data, with a state on disk."""

    def __init__(self, lesson: Lesson | None = None) -> None:
        torch.manual_seed(SEED)
        self.lesson = lesson or usual_lesson()
        self.unet = self.lesson.make_unet().to(DEVICE, memory_format=torch.channels_last).train()
        self.predict: nn.Module | None = None
        self.average = [parameter.detach().clone() for parameter in self.unet.parameters()]
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
        self.scheduler = make_scheduler()
        self.alphas = self.scheduler.alphas_cumprod.to(DEVICE)
        self.weights = snr_weights(self.alphas)
        latents = self.lesson.latents()
        self.latents = (latents / latents.std()).to(DEVICE)
        tables, captions = self.lesson.told()
        self.tables, self.captions = [table.to(DEVICE) for table in tables], captions.to(DEVICE)
        self.step = 0
        if self.lesson.state.exists():
            self.load()

    def load(self) -> None:
        """Takes up the course where it stopped."""
        state = torch.load(self.lesson.state, weights_only=True, map_location=DEVICE)
        self.unet.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step = state["average"], state["step"]

    def save(self) -> None:
        """Writes the state."""
        parts = {"unet": self.unet.state_dict(), "optimizer": self.optimizer.state_dict()}
        save_state(self.lesson.state, {**parts, "average": self.average, "step": self.step})

    def loss(self) -> Tensor:
        """The loss of a step's batch; a step draws the same numbers whenever it is run.

        All numbers are drawn where they are needed, because a copy to a GPU would wait for the step before.
        """
        torch.manual_seed(SEED + self.step)
        count = batch_at(self.step)
        chosen = torch.randint(len(self.latents), (count,), device=DEVICE)
        column = torch.randint(self.captions.shape[1], (count,), device=DEVICE)
        empty = torch.rand(count, device=DEVICE) < EMPTY_SHARE
        caption = self.captions[chosen, column].masked_fill(empty, 0)
        told = [table[caption] for table in self.tables]
        latents = self.latents[chosen].contiguous(memory_format=torch.channels_last)
        noise, timesteps = torch.randn_like(latents), stratified_timesteps(count, DEVICE)
        noisy = add_noise(latents, noise, self.alphas[timesteps])
        each = F.mse_loss(self.predictor(noisy, timesteps, *told), noise, reduction="none").mean(dim=(1, 2, 3))
        return (each * self.weights[timesteps]).mean()

    def predictor(self, *inputs: Tensor) -> Tensor:
        """Epsilon, by a graph of the batch's size."""
        if self.predict is None or self.step in dict(BATCHES):
            self.predict = Predictor(self.unet).recorded(*(part.clone() for part in inputs))
        return self.predict(*inputs)

    def train_step(self) -> Tensor:
        """One optimizer step; returns its loss."""
        set_learning_rate(self.optimizer, rate_at(self.step))
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.update_average()
        return loss.detach()

    @torch.no_grad()
    def update_average(self) -> None:
        """Moves the average towards the weights, faster in the first steps."""
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.average, [*self.unet.parameters()], 1 - decay)

    @torch.no_grad()
    def averaged(self) -> UNet2DConditionModel:
        """A UNet with the moving average's weights, on the CPU."""
        unet = self.lesson.make_unet()
        for parameter, average in zip(unet.parameters(), self.average, strict=True):
            parameter.copy_(average)
        return unet.eval()


def train_unet(until: int = NUM_STEPS, lesson: Lesson | None = None) -> None:
    """Trains the UNet, from the cached state if there is one, and saves its average in fp16.

    Args:
        until: the step to stop at, for a look at what was learned.
        lesson: what it is taught; the model of this world if None.
    """
    prepare_device()
    course = UNetCourse(lesson)
    log, first, losses = Log("unet", NUM_STEPS, course.lesson.log), course.step, []
    while course.step < until:
        losses.append(course.train_step())
        if course.step % LOG_EVERY == 0:
            loss, losses = float(torch.stack(losses).mean()), []
            log.write(course.step, first=first, loss=loss, samples=samples_before(course.step))
        if course.step % SAVE_EVERY == 0:
            course.save()
    course.save()
    course.scheduler.save_pretrained(course.lesson.model / "scheduler")
    course.averaged().half().save_pretrained(course.lesson.model / "unet")
