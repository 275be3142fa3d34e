"""The command line's controls: reads their nets and videos from disk."""

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
from ..sampling.stretch import nearest_frames
from ..video.clip import read_clip
from ..video.mask import read_mask
from .options.settings import read_clip_config

if TYPE_CHECKING:
    from ..denoisers.denoiser import UNetDenoiser
    from .options.settings import ReadAs


def add_named_controls(
    args: argparse.Namespace, denoiser: UNetDenoiser, latents: Tensor, read_as: ReadAs | None
) -> UNetDenoiser:
    """Adds the controls that the options name to a denoiser.

    Args:
        latents: those of the edit, `1 c f h w`; the control videos are read with the same length, size and speed.
        read_as: how the clip was read; the control videos are read in the same way, unless options say otherwise.
            None if there was none.

    Raises:
        ConfigError: an option must be given once, or once for each --control.
    """
    nets, (num_frames, height, width) = args.control, latents.shape[2:]
    nearest = nearest_frames(num_frames, getattr(args, "speed", 1))
    size = {"num_frames": nearest[-1] + 1, "width": width * VAE_FACTOR, "height": height * VAE_FACTOR}
    picks = {"start": args.control_first_frame, "stride": args.control_stride}
    read = read_clip_config(args, read_as, **size, **picks)
    videos = match(args.control_video, nets, "--control-video")
    masks = match(args.control_mask, nets, "--control-mask") if args.control_mask else [None] * len(nets)
    controls = []
    for path, video, mask, config in zip(nets, videos, masks, read_configs(args), strict=True):
        net = load_control(path, dtype=denoiser.unet.dtype, device=denoiser.unet.device)
        clip = read_clip(video, read)
        inside = None if mask is None else pick_masks(read_mask(mask, clip), nearest)
        controls.append(Control(net=net, frames=clip.frames[nearest], mask=inside, config=config))
    return add_controls(denoiser, controls)


def pick_masks(masks: Tensor, frames: Sequence[int]) -> Tensor:
    """The masks of some frames, of `f h w`; one mask `1 h w` serves all of them."""
    return masks if len(masks) == 1 else masks[list(frames)]


def read_configs(args: argparse.Namespace) -> list[ControlConfig]:
    """The settings of each control net."""
    settings: list[dict[str, Any]] = [{} for _ in args.control]
    for name, default in dataclasses.asdict(ControlConfig()).items():
        values = match(getattr(args, f"control_{name}"), args.control, f"--control-{name}", default)
        for own, value in zip(settings, values, strict=True):
            own[name] = value
    return [ControlConfig(**own) for own in settings]


def match(given: Sequence[Any], nets: Sequence[Any], option: str, default: Any = None) -> list[Any]:
    """One value per net: the given values, or the single given value for all nets, or the default if there is one.

    Raises:
        ConfigError: the option is given neither once nor once for each net.
    """
    if not given and default is not None:
        return [default] * len(nets)
    if len(given) == 1 and nets:
        return list(given) * len(nets)
    if len(given) != len(nets):
        raise ConfigError(
            got=f"{option} {len(given)} times, with {len(nets)} --control",
            expected="one for each --control, or one for all",
            mend="Give it once, or once for each --control in the same order.",
        )
    return list(given)
