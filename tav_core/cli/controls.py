"""The command line's controls: nets and videos read from disk."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..checkpoints.control_nets import load_control
from ..denoisers.config import ControlConfig
from ..denoisers.control import Control, add_controls
from ..errors import ConfigError
from ..layouts import VAE_FACTOR
from ..video.clip import read_clip
from .options import read_clip_config

if TYPE_CHECKING:
    from ..denoisers.denoiser import UNetDenoiser
    from ..tuning.motion_info import MotionInfo


def add_named_controls(
    args: argparse.Namespace, denoiser: UNetDenoiser, latents: Tensor, tuned: MotionInfo
) -> UNetDenoiser:
    """A denoiser with the controls that the options name.

    Args:
        latents: of the clip, `1 c f h w`: the control videos are read in its length and size.
        tuned: how the clip was read that was tuned on: so are the control videos, where no option says otherwise.

    Raises:
        ConfigError: options of which there are neither one nor as many as nets.
    """
    nets, (num_frames, height, width) = args.control, latents.shape[2:]
    size = {"num_frames": num_frames, "width": width * VAE_FACTOR, "height": height * VAE_FACTOR}
    picks = {"start": args.control_first_frame, "stride": args.control_stride}
    read = read_clip_config(args, tuned, **size, **picks)
    videos = match(args.control_video, nets, "--control-video")
    controls = [
        Control(
            net=load_control(path, dtype=denoiser.unet.dtype, device=denoiser.unet.device),
            frames=read_clip(video, read).frames,
            config=config,
        )
        for path, video, config in zip(nets, videos, read_configs(args), strict=True)
    ]
    return add_controls(denoiser, controls)


def read_configs(args: argparse.Namespace) -> list[ControlConfig]:
    """The settings of each control."""
    settings: list[dict[str, Any]] = [{} for _ in args.control]
    for name, default in dataclasses.asdict(ControlConfig()).items():
        values = match(getattr(args, f"control_{name}"), args.control, f"--control-{name}", default)
        for own, value in zip(settings, values, strict=True):
            own[name] = value
    return [ControlConfig(**own) for own in settings]


def match(given: Sequence[Any], nets: Sequence[Any], option: str, default: Any = None) -> list[Any]:
    """A value for each net: those given, or the one given for all, or the default, if there is one.

    Raises:
        ConfigError: there is another number of them.
    """
    if not given and default is not None:
        return [default] * len(nets)
    if len(given) == 1 and nets:
        return list(given) * len(nets)
    if len(given) != len(nets):
        raise ConfigError(
            got=f"{option} {len(given)} times, with {len(nets)} --control",
            expected="one for each --control, or one for all",
            mend="Give both as often, in the same order.",
        )
    return list(given)
