"""The settings of inversion: the one source of their defaults and bounds."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import check_settings, setting

# How an inversion steps. Only what an exact one ends in must be sampled from by its own steps backwards.
METHODS = ("ddim", "fixed_point", "o_belm")
EXACT = ("o_belm",)


@dataclass(frozen=True, kw_only=True)
class InvertConfig:
    """How to invert. `ddim` is the original's; the iterations are within the range of AIDI (arXiv 2309.04907).

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    method: str = setting(
        "ddim",
        "ddim is the original's; fixed_point loses less and takes more time; o_belm gives the clip back exactly.",
        choices=METHODS,
    )
    iterations: int = setting(
        4,
        "How often fixed_point computes each step, and o_belm its first; 1 is ddim.",
        low=1,
        high=50,
    )

    def __post_init__(self) -> None:
        check_settings(self)
