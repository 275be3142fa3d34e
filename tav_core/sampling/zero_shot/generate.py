"""Video from a prompt with a model that was never tuned (Text2Video-Zero, arXiv 2303.13439, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...denoisers.denoiser import Denoiser
from ...denoisers.guidance import guided
from ...denoisers.windows import check_fits, pick_frames
from ...errors import ClipError, explain_out_of_memory
from ...layouts import check_mask
from ...models.conditioning import Conditioning, as_conditioning
from ...models.schedule import NoiseSchedule, ddim_step, draw_noise
from .config import ZeroShotConfig
from .motion_field import MotionField, warp
from .smoothing import latent_foreground, smooth_background

OnLatents = Callable[[int, int, Tensor], None]
Model = Callable[[Tensor, int], Tensor]
LATENT_CHANNELS = 4


@torch.no_grad()
def generate(
    denoiser: Denoiser,
    conditioning: Conditioning | Tensor,
    negative: Conditioning | Tensor,
    *,
    config: ZeroShotConfig | None = None,
    motion: MotionField | None = None,
    foreground: Tensor | None = None,
    on_step: OnLatents | None = None,
) -> Tensor:
    """Makes one video per prompt, by DDIM. Nothing of it depends on the chunk size but the memory that it takes.

    Args:
        denoiser: a model in which frames attend to frame 0: `InflatedUNet.from_2d(unet, attention="first")`. Its
            controls, if it has any, are those of all frames.
        conditioning: the prompts as `encode_prompt` gives them, or their text embeddings alone, `p m d`.
        negative: the negative prompt likewise: one, or one for each prompt.
        config: see `ZeroShotConfig`.
        motion: how the camera moves; None for frames that start from noise of their own.
        foreground: for background smoothing, after a first result: a mask of what moves by itself, `f h w` in [0, 1] of
            any size, one for each frame.
        on_step: called after each step with (steps done over all prompts, total steps, latents).

    Returns:
        Latents `p c f h w`, float32, on the conditioning's device.

    Raises:
        ConfigError: a motion field with a single sampling step, or one that does not fit the frames.
        ClipError: the foreground has another number of frames, or values outside of [0, 1].
        LatentsError: the controls, or the conditioning's channels, have another number of frames or another size.
        OutOfMemory: the message says what to lower.
    """
    config = config or ZeroShotConfig()
    conditioning, negative = as_conditioning(conditioning), as_conditioning(negative)
    conditioning.check(values=True)
    negative.check(values=True)
    negative = negative.expand(len(conditioning))
    check_foreground(foreground, config.num_frames)
    if motion is not None:
        motion.check_frames(config.num_frames)
    for part in (denoiser, conditioning, negative):
        check_fits(part, (1, LATENT_CHANNELS, config.num_frames, *config.latent_size))
    moved = motion is not None and config.num_frames > 1
    plan = Plan.make(denoiser.schedule, config, moved=moved, smoothed=foreground is not None)
    report = Counter(on_step, total=len(conditioning) * plan.count_steps())
    videos = []
    with explain_out_of_memory(f"making {config.num_frames} frames", "Use a smaller chunk_size, or a smaller size."):
        for prompt, other in zip(conditioning, negative, strict=True):
            run = Run(denoiser, prompt, other, config=config, plan=plan, report=report)
            videos.append(run.render(motion, foreground))
    return torch.cat(videos)


def check_foreground(foreground: Tensor | None, num_frames: int) -> None:
    """Raises `ClipError` unless a mask is `f h w` in [0, 1] with one for each frame."""
    if foreground is None:
        return
    shape = tuple(foreground.shape) if isinstance(foreground, Tensor) else ()
    if len(shape) != 3 or shape[0] != num_frames:
        raise ClipError(
            got=f"a foreground of {f'shape {shape}' if shape else type(foreground).__name__} for {num_frames} frames",
            expected="a tensor f h w, one mask for each frame",
            mend="Make the masks from the frames of a first result.",
        )
    check_mask(foreground, num_frames=num_frames, height=shape[1], width=shape[2])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The timesteps of a run, from noise to clean, in two parts.

    Args:
        timesteps: all of them, descending.
        to_t1: how many lead from noise to the latents at t1, which are smoothed.
        to_t0: how many lead to those at t0, which are moved.
        moved: whether there is a motion field. Then only frame 0 goes the way from noise to t0, and all frames go on
            from t1; otherwise all frames go the whole way.
        chunks: the frames that are computed at once, without frame 0, which is with each of them.
    """

    timesteps: tuple[int, ...]
    to_t1: int
    to_t0: int
    moved: bool
    chunks: tuple[tuple[int, ...], ...]

    @classmethod
    def make(cls, schedule: NoiseSchedule, config: ZeroShotConfig, *, moved: bool, smoothed: bool) -> Plan:
        """The plan for a run with a motion field or without one, and with smoothing or without it."""
        timesteps = tuple(reversed(schedule.timesteps(config.num_steps)))
        t0, t1 = config.moments() if moved or smoothed else (len(timesteps) - 1,) * 2
        return cls(
            timesteps=timesteps,
            to_t1=len(timesteps) - 1 - t1,
            to_t0=len(timesteps) - 1 - t0,
            moved=moved,
            chunks=split_frames(config.num_frames, config.chunk_size),
        )

    @property
    def t0(self) -> int:
        """The timestep whose step takes in the latents that are moved."""
        return self.timesteps[self.to_t0]

    @property
    def t1(self) -> int:
        """The timestep from which on moved frames are denoised."""
        return self.timesteps[self.to_t1]

    def count_steps(self) -> int:
        """The steps for one prompt."""
        return sum(number for number, _ in self.runs())

    def runs(self) -> list[tuple[int, int]]:
        """How many steps of one prompt are taken on how many frames at once: on frame 0, then on each chunk with it."""
        alone, together = (self.to_t0, len(self.timesteps) - self.to_t1) if self.moved else (0, len(self.timesteps))
        return [(alone, 1), *((together, 1 + len(chunk)) for chunk in self.chunks)]


def split_frames(num_frames: int, chunk_size: int) -> tuple[tuple[int, ...], ...]:
    """The frames 1 and later, in chunks that leave room for frame 0; one empty chunk if there are none."""
    others = range(1, num_frames)
    starts = range(0, len(others), chunk_size - 1)
    return tuple(tuple(others[start : start + chunk_size - 1]) for start in starts) or ((),)


class Counter:
    """Reports the steps of all prompts and chunks as one count."""

    def __init__(self, on_step: OnLatents | None, *, total: int) -> None:
        self.on_step, self.total, self.done = on_step, total, 0

    def __call__(self, latents: Tensor) -> None:
        self.done += 1
        if self.on_step is not None:
            self.on_step(self.done, self.total, latents)


class Run:
    """One prompt's video.

    Noise is drawn in the original's order, on the CPU: frame 0 first, then all other frames at once, channels before
    frames. So the same seed gives the original's noise, and chunks do not share any.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        positive: Conditioning,
        negative: Conditioning,
        *,
        config: ZeroShotConfig,
        plan: Plan,
        report: Counter,
    ) -> None:
        self.denoiser, self.positive, self.negative = denoiser, positive, negative
        self.config, self.plan, self.report = config, plan, report
        self.device = positive.text.device
        self.generator = torch.Generator("cpu").manual_seed(config.seed)

    def render(self, motion: MotionField | None, foreground: Tensor | None) -> Tensor:
        """The clean latents of all frames, `1 c f h w`."""
        mask = None if foreground is None else self.at_latent_size(foreground)
        start = self.prepare(motion)
        videos = [self.from_t1(start(frames), frames, motion, mask) for frames in self.plan.chunks]
        return torch.cat([videos[0], *(video[:, :, 1:] for video in videos[1:])], dim=2)

    def prepare(self, motion: MotionField | None) -> Callable[[Sequence[int]], Tensor]:
        """Draws all noise, and denoises frame 0 up to where it is moved.

        Returns:
            A function that gives the latents at t1 of frame 0 and some others, `1 c f h w`.
        """
        plan, noise = self.plan, self.draw(1)
        others = self.draw(self.config.num_frames - 1)
        # What the steps from the first one to that at t0 take in.
        latents = [noise, *self.denoise(noise, (0,), plan.timesteps[: plan.to_t0])] if plan.moved else [noise]

        def start(frames: Sequence[int]) -> Tensor:
            own = others[:, :, [frame - 1 for frame in frames]]
            if not plan.moved:
                return self.to_t1(torch.cat([noise, own], dim=2), frames)
            moved = warp(latents[plan.to_t0], self.places(motion, frames))
            return torch.cat([latents[plan.to_t1], self.noised(moved, own)], dim=2)

        return start

    def draw(self, num_frames: int) -> Tensor:
        """Fresh noise, `1 c f h w`."""
        return draw_noise((1, LATENT_CHANNELS, num_frames, *self.config.latent_size), self.generator).to(self.device)

    def at_latent_size(self, foreground: Tensor) -> Tensor:
        """The foreground as smoothing takes it."""
        height, width = self.config.latent_size
        return latent_foreground(foreground, height=height, width=width)

    def to_t1(self, noise: Tensor, frames: Sequence[int]) -> Tensor:
        """The latents at t1 of frame 0 and some others, from their noise."""
        *_, latents = noise, *self.denoise(noise, (0, *frames), self.plan.timesteps[: self.plan.to_t1])
        return latents

    def from_t1(
        self, latents: Tensor, frames: Sequence[int], motion: MotionField | None, mask: Tensor | None
    ) -> Tensor:
        """The clean latents of frame 0 and some others, from those at t1, smoothed if there is a mask."""
        if mask is not None and frames:
            first, own, places = latents[:, :, :1], latents[:, :, 1:], self.places(motion, frames)
            own = smooth_background(own, first, mask[[0, *frames]], places, strength=self.config.smoothing)
            latents = torch.cat([first, own], dim=2)
        *_, clean = self.denoise(latents, (0, *frames), self.plan.timesteps[self.plan.to_t1 :])
        return clean

    def places(self, motion: MotionField | None, frames: Sequence[int]) -> Tensor:
        """Where frames read frame 0; each pixel its own place without a motion field."""
        height, width = self.config.latent_size
        still = MotionField() if motion is None else motion
        return still.places(frames, num_frames=self.config.num_frames, height=height, width=width)

    def noised(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Latents at t0 with noise up to t1.

        The original multiplies the alphas of the training steps t0 to t1 - 1, where those of t0 + 1 to t1 lead from one
        to the other. The difference is 4e-4.
        """
        schedule = self.denoiser.schedule
        alpha = schedule.alpha(self.plan.t1 - 1) / schedule.alpha(self.plan.t0 - 1)
        return alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise

    def denoise(self, latents: Tensor, frames: Sequence[int], timesteps: Sequence[int]) -> Iterator[Tensor]:
        """Yields the latents of some frames after each DDIM step."""
        schedule, model = self.denoiser.schedule, self.model(frames)
        for timestep in timesteps:
            alpha_to = schedule.alpha(schedule.previous(timestep, self.config.num_steps))
            latents = ddim_step(latents, model(latents, timestep), alpha=schedule.alpha(timestep), alpha_to=alpha_to)
            self.report(latents)
            yield latents

    def model(self, frames: Sequence[int]) -> Model:
        """Epsilon under guidance for some frames, with their controls and channels."""
        whole = self.denoiser, self.positive, self.negative
        denoiser, positive, negative = (pick_frames(part, frames) for part in whole)
        return guided(denoiser, positive, negative, self.config.guidance_scale)
