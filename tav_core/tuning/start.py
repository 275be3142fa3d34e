"""Where a tuning starts from: nothing, temporal layers of another model, or another motion.

A run goes on only from where it began, so its identity has the start's hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..errors import ConfigError, MotionError
from ..models.parameter_names import is_temporal
from ..tensor_files import digest
from .low_rank import DOWN, UP, LowRankDeltas, pack_deltas

if TYPE_CHECKING:
    from ..models.unet import InflatedUNet
    from .motion import Motion


def hash_start(unet: InflatedUNet) -> str | None:
    """A hash of the temporal weights that a tuning starts from; None where they add nothing, as in the original."""
    outputs = [block.attn_temp.to_out[0] for block in unet.blocks().values() if block.attn_temp is not None]
    if not any(bool(parameter.any()) for output in outputs for parameter in output.parameters()):
        return None
    return digest(unet.temporal_state())


def hash_motion(motion: Motion) -> str:
    """A hash of what a motion changes; the precision of its file does not change it."""
    return digest({**pack_deltas(motion.deltas), **{f"temporal.{n}": t for n, t in motion.temporal.items()}})


def rank_of(motion: Motion) -> int:
    """The rank of a motion's differences; 0 for whole ones."""
    factors = motion.deltas.factors.values() if isinstance(motion.deltas, LowRankDeltas) else ()
    return max((down.shape[0] for down, _ in factors), default=0)


@torch.no_grad()
def begin_from(motion: Motion, trained: InflatedUNet, base: InflatedUNet) -> None:
    """Writes a motion into the copy of a UNet that is to be trained, in place.

    Args:
        trained: the copy, with its masters or factors; see `copy_for_training`.
        base: what it was copied from, which is not changed.

    Raises:
        MotionError: the motion is of another architecture or other positions.
        ConfigError: the run trains other modules, or factors of another rank.
    """
    motion.check_architecture(base.config)
    check_positions(motion, base)
    set_temporal(trained, motion.temporal)
    parameters, own = dict(trained.named_parameters()), dict(base.named_parameters())
    for name, delta in split_factors(motion, parameters).items():
        parameter = parameters.get(name)
        if parameter is None or not parameter.requires_grad:
            raise not_trained(name)
        if parameter.shape != delta.shape:
            raise MotionError(
                got=f"a motion to start from whose {name} is {tuple(delta.shape)}",
                expected=f"{tuple(parameter.shape)}, as in this run",
                mend="Use the rank of the motion (query_rank), or a checkpoint of its family.",
            )
        start = delta.to(parameter.device)
        parameter.copy_(start if name.endswith((DOWN, UP)) else own[name].float() + start)


def split_factors(motion: Motion, trained: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """A motion's differences under the names of the parameters that train: whole, or as factors where these train."""
    if not isinstance(motion.deltas, LowRankDeltas):
        return dict(motion.deltas)
    found = dict(motion.deltas.whole)
    for name, (down, up) in motion.deltas.factors.items():
        layer = name.removesuffix(".weight")
        if layer + DOWN in trained:
            found |= {layer + DOWN: down, layer + UP: up}
        else:
            found[name] = up @ down
    return found


def set_temporal(trained: InflatedUNet, temporal: Mapping[str, Tensor]) -> None:
    """Gives a copy temporal weights of its own: those that do not train are shared with the UNet that was copied."""
    for name, parameter in list(trained.named_parameters()):
        if is_temporal(name) and not parameter.requires_grad:
            owner, _, attribute = name.rpartition(".")
            own = nn.Parameter(parameter.detach().clone(), requires_grad=False)
            setattr(trained.get_submodule(owner), attribute, own)
    trained.load_temporal(temporal)


def check_positions(motion: Motion, base: InflatedUNet) -> None:
    """Raises `MotionError` unless a motion's temporal attention knows of the frames' order what the UNet's does."""
    own, other = base.modes["positions"], motion.info.modes.get("positions", "none")
    if own != other:
        raise MotionError(
            got=f"a motion to start from with positions {other}",
            expected=f"positions {own}, as this run has them",
            mend=f"Set positions to {other}.",
        )


def not_trained(name: str) -> ConfigError:
    return ConfigError(
        got=f"a motion to start from that changes {name}, which this run does not train as the motion has it",
        expected="a run that trains what the motion changes, or its differences would be lost",
        mend="Leave modules as they are by default, and query_rank at -1, which takes that of the motion.",
    )


def deltas_since(motion: Motion, deltas: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The whole differences of a run that began from a motion, without the rounding of their sum with the base.

    Args:
        motion: the start.
        deltas: the run's differences as they are read, weight minus base.
        base: the parameters of the UNet that is tuned.

    Returns:
        Before the first step, the motion's own differences, bit for bit.
    """
    if isinstance(deltas, LowRankDeltas):
        return deltas
    exact = dict(deltas)
    for name, start in motion.deltas.items():
        weight = base[name].detach().cpu().float()
        began = (weight + start) - weight
        exact[name] = torch.where(deltas[name] == began, start, start + (deltas[name] - began))
    return exact
