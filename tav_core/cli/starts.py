"""Where an edit starts, and by which scheduler it goes, as the options say."""

from __future__ import annotations

import argparse
from typing import Any

import torch

from ..checkpoints.load import Checkpoint
from ..denoisers.windows import ContextWindows
from ..errors import ConfigError
from ..layouts import VAE_FACTOR
from ..models.schedule import gaussian_noise
from ..sampling.blend import blend
from ..sampling.config import EditConfig
from ..sampling.edit import check_same_steps
from ..sampling.free_noise import free_noise
from ..sampling.schedulers import check_scheduler, unfit_scheduler
from ..sampling.stretch import stretch
from ..sampling.trajectory import Trajectory
from ..tuning.motion_info import MotionInfo
from .inputs import load_windows
from .options.settings import read_clip_config


def load_trajectory(args: argparse.Namespace) -> Trajectory | None:
    """The trajectory to start from, blended and at another speed if asked for; None for a random start.

    Raises:
        ConfigError: the options do not go together, or it was inverted in another number of steps than they say.
    """
    if not args.trajectory:
        if args.noise_prior < 1:
            raise ConfigError(
                got="--noise-prior without --trajectory",
                expected="an inversion, of whose noise it takes a share",
                mend="Add --trajectory, or leave it out.",
            )
        if args.blend:
            raise ConfigError(
                got="--blend without --trajectory", expected="two trajectory files", mend="Add --trajectory."
            )
        if args.speed != 1:
            raise ConfigError(
                got="--speed without --trajectory", expected="an inversion to stretch", mend="Add --trajectory."
            )
        return None
    if args.free_noise:
        raise ConfigError(got="--free-noise with --trajectory", expected="one of the two", mend="Leave one out.")
    # It stays on the CPU, because the GPU needs only one of its steps at a time.
    start = Trajectory.load(args.trajectory)
    if args.num_steps is not None:
        check_same_steps(args.num_steps, len(start.timesteps))
    check_size(args, start)
    if args.blend:
        start = blend(start, Trajectory.load(args.blend), args.blend_weight)
    return start if args.speed == 1 else stretch(start, args.speed)


def check_size(args: argparse.Namespace, start: Trajectory) -> None:
    """Raises `ConfigError` if the options ask for another size than that of the inversion."""
    for name, latents in zip(("height", "width"), start.noise.shape[-2:], strict=True):
        asked, inverted = getattr(args, name), VAE_FACTOR * latents
        if asked not in (None, inverted):
            raise ConfigError(
                got=f"a {name} of {asked} for an inversion of {inverted}",
                expected="the same size",
                mend=f"Leave --{name} out, or invert the clip again with --{name} {asked}.",
            )


def random_start(
    args: argparse.Namespace, tuned: MotionInfo, config: EditConfig, checkpoint: Checkpoint
) -> torch.Tensor:
    """Random noise of the given or tuned size."""
    device = checkpoint.unet.device
    clip = read_clip_config(args, tuned)
    size = (clip.num_frames, clip.height // VAE_FACTOR, clip.width // VAE_FACTOR)
    shape = (1, checkpoint.unet.config.in_channels, *size)
    if args.free_noise:
        windows = load_windows(args) or ContextWindows()
        return free_noise(shape, config.seed, window=windows.length, stride=max(windows.overlap, 1)).to(device)
    return gaussian_noise(shape, config.seed).to(device)


def find_scheduler(name: str | None) -> Any:
    """A diffusers scheduler by its class name, with its default settings.

    Raises:
        ConfigError: diffusers has none of this name, or it needs what is not here, or it does not fit.
    """
    if name is None:
        return None
    import diffusers

    made = getattr(diffusers, name, None)
    if not isinstance(made, type) or not name.endswith("Scheduler"):
        raise ConfigError(
            got=f"scheduler {name!r}",
            expected="a scheduler class of diffusers, such as EulerDiscreteScheduler",
            mend="Check the spelling, or leave it out for DDIM.",
        )
    try:
        scheduler = made()
    # Those of other models need arguments, and some need packages of their own.
    except (ImportError, TypeError) as error:
        why = " ".join(str(error).split())
        raise unfit_scheduler(f"scheduler {name}, which cannot be made here ({why})") from error
    check_scheduler(scheduler)
    return scheduler
