"""Blends two inversions, so that an edit starts from the motions or layouts of both."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..cancelling import cancellable
from ..errors import ConfigError, LatentsError
from ..layouts import check_latents
from ..settings import is_number
from .trajectory import Trajectory, check_inversion

# Above this cosine the arc is so short that its sine loses precision; a straight line is as good.
NEARLY_PARALLEL = 0.9995


def blend(one: Trajectory, other: Trajectory, weight: float) -> Trajectory:
    """Blends two inversions at every step, frame by frame, with `slerp`.

    The result's `latents[0]` are a blend of the two clips, which sampling does not reproduce. `fps` is that of `one`.

    Args:
        weight: 0 is `one`, 1 is `other`.

    Raises:
        LatentsError: they differ in size, number of frames, or number of kept latents.
        ConfigError: they differ in steps or method, or the weight is outside 0 to 1.
    """
    check_alike(one, other)
    latents = torch.empty_like(one.latents)
    for step, pair in enumerate(cancellable(zip(one.latents, other.latents.to(latents.device), strict=True))):
        latents[step] = slerp(*pair, weight)
    return replace(one, latents=latents, remainder=blend_remainders(one, other, weight))


def blend_remainders(one: Trajectory, other: Trajectory, weight: float) -> Tensor | None:
    """Blends two remainders on a straight line: they are not noise, so their spread need not be kept."""
    if one.remainder is None or other.remainder is None:
        return None
    return torch.lerp(one.remainder, other.remainder.to(one.remainder.device), weight)


def slerp(one: Tensor, other: Tensor, weight: float) -> Tensor:
    """Blends two latents `b c f h w` on the arc between them, each frame by its own angle.

    Gaussian noise keeps its standard deviation. On a straight line, two independent noises have 0.71 of it in the
    middle, and renderings look washed out. Frames that are nearly parallel are blended on a straight line.

    Args:
        weight: 0 is `one`, 1 is `other`.

    Raises:
        LatentsError: the shapes differ, or are not `b c f h w`.
        ConfigError: the weight is outside 0 to 1.
    """
    check_blend(one, other, weight)
    axes = (1, 3, 4)
    # On the CPU, because Apple's MPS has no float64.
    first, second = one.cpu().double(), other.cpu().double()
    lengths = first.square().sum(axes, True).sqrt() * second.square().sum(axes, True).sqrt()
    cosine = (first * second).sum(axes, True) / lengths.clamp_min(torch.finfo(torch.double).tiny)
    straight = cosine.abs() > NEARLY_PARALLEL
    angle = torch.where(straight, 1.0, cosine).acos().masked_fill(straight, 1.0)
    from_one = torch.where(straight, 1 - weight, ((1 - weight) * angle).sin() / angle.sin())
    from_other = torch.where(straight, weight, (weight * angle).sin() / angle.sin())
    return from_one.to(one) * one + from_other.to(one) * other


def check_alike(one: Trajectory, other: Trajectory) -> None:
    """Checks that two inversions are consistent and were made with the same steps."""
    for each in (one, other):
        check_inversion(each)
    if (one.timesteps, one.method) != (other.timesteps, other.method):
        raise ConfigError(
            got=" and ".join(f"{len(each.timesteps)} steps by {each.method}" for each in (one, other)),
            expected="the same steps and method for both",
            mend="Invert both clips with the same settings.",
        )
    if len(one.latents) != len(other.latents):
        raise LatentsError(
            got=f"inversions that keep {len(one.latents)} and {len(other.latents)} latents",
            expected="the same number in both",
            mend="Invert both clips with the same `keep`.",
        )


def check_blend(one: Tensor, other: Tensor, weight: float) -> None:
    """Checks that two latents can be blended."""
    check_latents(one)
    if one.shape != other.shape:
        raise LatentsError(
            got=f"latents of shape {tuple(one.shape)} and {tuple(other.shape)} to blend",
            expected="the same size and number of frames",
            mend="Load both clips with the same width, height and number of frames, and invert them again.",
        )
    if not is_number(weight) or not 0 <= weight <= 1:
        raise ConfigError(got=f"a weight of {weight!r}", expected="0 to 1", mend="Use 0.5, halfway.")
