"""The settings of injection: the one source of their defaults and bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..settings import check_settings, setting

# The ResNets of Stable Diffusion's decoder, by which the paper counts.
PAPER_LAYERS = 12


class Injected(NamedTuple):
    """What a step takes from the source."""

    attention: bool
    features: bool


@dataclass(frozen=True, kw_only=True)
class InjectionConfig:
    """What is taken from the source, for how long and from where on.

    The defaults are Plug-and-Play's (arXiv 2211.12572, section 4, and its code). Layer 4 is, in diffusers' names,
    ResNet 1 of up-block 1; the attentions from there on are 1 and 2 of up-block 1, and all of up-blocks 2 and 3.

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    attention: float = setting(
        0.5, "Share of the steps, from the first, that look where the source looks; 0 is none.", low=0, high=1
    )
    features: float = setting(
        0.8, "Share of the steps, from the first, that take the source's features; 0 is none.", low=0, high=1
    )
    first_layer: int = setting(
        4,
        "Where injection begins, of the decoder's layers 0 to 11 from coarse to fine; smaller models in proportion.",
        low=0,
        high=PAPER_LAYERS - 1,
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def at(self, timestep: float, timesteps: Sequence[int]) -> Injected:
        """What the step at a timestep takes, where an inversion had these timesteps, ascending.

        A sampler may have other timesteps: it takes what the inversion's next lower one would.
        """

        def reached(share: float) -> bool:
            num_steps = round(share * len(timesteps))
            return num_steps > 0 and timestep >= timesteps[-num_steps]

        return Injected(attention=reached(self.attention), features=reached(self.features))

    def first_of(self, num_layers: int) -> int:
        """The layer where injection begins in a decoder of `num_layers` ResNets."""
        return self.first_layer * num_layers // PAPER_LAYERS
