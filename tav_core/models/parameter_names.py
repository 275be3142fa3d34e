"""The names of weights, as the original published them, and a check that two sets of weights match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import MotionError

if TYPE_CHECKING:
    from torch import Tensor

# The submodules that inflation adds to every transformer block.
TEMPORAL = (".attn_temp.", ".norm_temp.")


def is_temporal(name: str) -> bool:
    """Whether a parameter's name is one that inflation added."""
    return any(part in name for part in TEMPORAL)


def check_same_shapes(given: Mapping[str, Tensor], own: Mapping[str, Tensor], *, what: str) -> None:
    """Checks that two sets of weights have the same names and shapes.

    Raises:
        MotionError: they differ; the first difference is named.
    """
    for name in [*own, *given]:
        got = tuple(given[name].shape) if name in given else "none"
        expected = tuple(own[name].shape) if name in own else "none"
        if got != expected:
            raise MotionError(
                got=f"{what} made for another architecture: {name} is {got}",
                expected=f"{expected}, as in this model",
                mend="Use a checkpoint of the family that it was tuned on, or tune again on this one.",
            )
