"""Flow guidance from the command line: `python -m tav_core edit --flow-guided ...`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from torch import Tensor

from ..denoisers.config import FlowConfig
from ..denoisers.denoiser import UNetDenoiser
from ..denoisers.flow_guided import FlowGuidedDenoiser
from ..errors import ConfigError
from ..metrics.flow import measure_flow
from ..metrics.raft import load_raft
from ..metrics.token_paths import token_paths
from ..models.devices import find_device
from ..models.latents import decode_latents
from ..sampling.trajectory import Trajectory
from .options.settings import read_settings
from .progress import tell

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


def check_flow(args: argparse.Namespace) -> FlowConfig:
    """How the flow guides; read before anything is loaded.

    Raises:
        ConfigError: the options do not go together.
    """
    config: FlowConfig = read_settings(args, FlowConfig, prefix="flow-")
    if not args.flow_guided and (config != FlowConfig() or args.flow_weights):
        raise ConfigError(got="--flow-* options without --flow-guided", expected="both", mend="Add --flow-guided.")
    if args.flow_guided and not args.trajectory:
        raise ConfigError(
            got="--flow-guided without --trajectory",
            expected="the inversion of the clip, whose motion is followed",
            mend="Run invert and give the file that it writes, or leave --flow-guided out.",
        )
    return config


def measure_paths(
    args: argparse.Namespace, start: Trajectory | Tensor, vae: AutoencoderKL
) -> tuple[Tensor, ...] | None:
    """The paths of the tokens of the clip that was inverted; None if the options ask for no flow guidance.

    The frames are decoded from the trajectory itself, which fits its size, its speed and its blend; the flow in them
    follows a subject as well as that in the clip does.
    """
    if not args.flow_guided:
        return None
    assert isinstance(start, Trajectory), "check_flow needs --trajectory"
    measure = load_raft(args.flow_weights, device=find_device(args.device)) if args.flow_weights else measure_flow
    tell(f"measuring the flow of {start.num_frames} frames")
    frames = decode_latents(vae, start.latents[0])[0]
    return token_paths(frames, measure(frames) if len(frames) > 1 else None)


def guide_by_flow(
    args: argparse.Namespace, denoiser: UNetDenoiser, paths: tuple[Tensor, ...] | None
) -> UNetDenoiser | FlowGuidedDenoiser:
    """Adds flow guidance to a denoiser, if there are paths."""
    if paths is None:
        return denoiser
    return FlowGuidedDenoiser(denoiser=denoiser, paths=paths, config=check_flow(args))
