"""Low-rank differences of linear layers: two narrow factors in place of a whole matrix (LoRA, arXiv 2106.09685).

The difference from the base's weight, `o i`, is up @ down, of `o r` and `r i` at rank r. LoRA's alpha is the rank, so
there is no scale. `down` starts at random and `up` at zero, so that an untuned layer is the base's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import MotionError
from ..models.inflation import recast

# The endings of the factors' names in a network that trains, after the name of their layer.
DOWN, UP = ".low_rank_down", ".low_rank_up"


class LowRankLinear(nn.Module):
    """A mixin for a linear layer whose weight is frozen, with a difference of low rank that trains in float32."""

    low_rank_down: nn.Parameter
    low_rank_up: nn.Parameter

    def forward(self, tokens: Tensor) -> Tensor:
        down, up = (factor.to(tokens.dtype) for factor in (self.low_rank_down, self.low_rank_up))
        return super().forward(tokens) + F.linear(F.linear(tokens, down), up)


def add_factors(root: nn.Module, paths: Sequence[str], *, rank: int, seed: int) -> None:
    """Gives linear layers of a network, in place, factors that train.

    Args:
        paths: of the layers; their own weights stay as they are.
        rank: of the difference; at most the layer's lesser width.
        seed: of the factors `down`, which are drawn from N(0, 1 / rank^2) on the CPU, so that every device gets the
            same.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    for path in paths:
        layer = root.get_submodule(path)
        assert isinstance(layer, nn.Linear), "chosen by `is_low_rank`"
        own = min(rank, layer.in_features, layer.out_features)
        down = torch.randn((own, layer.in_features), generator=generator, dtype=torch.float32, device="cpu") / own
        up = torch.zeros((layer.out_features, own), dtype=torch.float32, device=layer.weight.device)
        changed: nn.Module = recast(layer, type(f"LowRank{type(layer).__name__}", (LowRankLinear, type(layer)), {}))
        changed._parameters["low_rank_down"] = nn.Parameter(down.to(layer.weight.device))
        changed._parameters["low_rank_up"] = nn.Parameter(up)
        owner, _, attribute = path.rpartition(".")
        setattr(root.get_submodule(owner), attribute, changed)


def is_factor(name: str) -> bool:
    """Whether a parameter's name is that of one of the factors."""
    return name.endswith((DOWN, UP))


@dataclass(frozen=True, eq=False)
class LowRankDeltas(Mapping[str, Tensor]):
    """Differences from a base's weights by name, some of them as factors, which are multiplied when they are asked for.

    All of SDXL's queries are 820 MB in float32, and their factors 42 MB at rank 32.

    Args:
        factors: `down`, `r i`, and `up`, `o r`, by the weight's name.
        whole: differences that are held whole.
    """

    factors: Mapping[str, tuple[Tensor, Tensor]]
    whole: Mapping[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        if name in self.whole:
            return self.whole[name]
        down, up = self.factors[name]
        return up @ down

    def __iter__(self) -> Iterator[str]:
        yield from self.whole
        yield from self.factors

    def __len__(self) -> int:
        return len(self.whole) + len(self.factors)


def pack_deltas(deltas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Differences as the tensors of a motion file: `delta.<name>`, or `down.<name>` and `up.<name>`."""
    if not isinstance(deltas, LowRankDeltas):
        return {f"delta.{name}": tensor for name, tensor in deltas.items()}
    packed = {f"delta.{name}": tensor for name, tensor in deltas.whole.items()}
    for name, (down, up) in deltas.factors.items():
        packed |= {f"down.{name}": down, f"up.{name}": up}
    return packed


def unpack_deltas(
    whole: Mapping[str, Tensor], downs: Mapping[str, Tensor], ups: Mapping[str, Tensor], *, where: str
) -> Mapping[str, Tensor]:
    """The differences in a motion file, from what `pack_deltas` gave.

    Args:
        where: the file, for messages.

    Raises:
        MotionError: a factor lacks the other, or they do not fit each other.
    """
    if not downs and not ups:
        return whole
    for name in (*downs, *ups):
        pair = [part[name] for part in (downs, ups) if name in part]
        fits = len(pair) == 2 and all(factor.ndim == 2 for factor in pair) and pair[0].shape[0] == pair[1].shape[1]
        if not fits or name in whole:
            raise MotionError(
                got=f"{where}, whose factors of {name} do not make one difference",
                expected="two matrices, down of r rows and up of r columns",
                mend="The file is damaged: make or copy it again.",
            )
    return LowRankDeltas(factors={name: (downs[name], ups[name]) for name in downs}, whole=whole)


def read_deltas(trained: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The differences that a network was trained to, in float32 on the CPU.

    Args:
        trained: its trained parameters that are not temporal, in float32 on the CPU, factors among them.
        base: the parameters of the network that it was copied from.
    """
    whole = {n: t - base[n].detach().cpu().float() for n, t in trained.items() if not is_factor(n)}
    layers = [name.removesuffix(DOWN) for name in trained if name.endswith(DOWN)]
    if not layers:
        return whole
    factors = {f"{layer}.weight": (trained[layer + DOWN].clone(), trained[layer + UP].clone()) for layer in layers}
    return LowRankDeltas(factors=factors, whole=whole)
