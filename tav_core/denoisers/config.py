"""The settings of controls and flow guidance: the one source of their defaults and bounds."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from ..models.attention_modes import MODES, PATH_MATCHES
from ..settings import check_settings, setting


@dataclass(frozen=True, kw_only=True)
class ControlConfig:
    """How strongly a ControlNet or T2I-Adapter acts, and when. The defaults are those of diffusers' pipelines.

    Raises:
        ConfigError: a setting is out of its range, or the end comes before the start.
    """

    scale: float = setting(1.0, "How strongly the control acts; 0 turns it off.", low=0, high=10)
    start: float = setting(
        0.0, "Share of the sampling, by its noise level, after which the control sets in.", low=0, high=1
    )
    end: float = setting(1.0, "Share of the sampling, by its noise level, after which the control ends.", low=0, high=1)
    attention: str = setting(
        "spatial", "Which frames each frame attends to inside a ControlNet; spatial leaves it unchanged.", choices=MODES
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.end < self.start:
            raise ConfigError(
                got=f"a control from {self.start:g} to {self.end:g} of the steps",
                expected="an end that is not before the start",
                mend="Use 0 and 1 for all steps.",
            )

    def counts_at(self, done: float) -> bool:
        """Whether the control acts in a step, given the share of sampling done after that step, above 0 and up to 1."""
        return self.scale > 0 and self.start < done <= self.end


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Where and for how long flow-guided attention acts. The defaults are those of FLATTEN's code (arXiv 2310.05922).

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    levels: int = setting(
        1,
        "How many levels of the UNet attend along the flow, from the finest with attention on: 1 is 64x64 tokens for "
        "512x512 pixels, the original's.",
        low=1,
        high=4,
    )
    match: str = setting(
        "output",
        "What the tokens of a path are compared by: the output of the attention before, or its queries and keys, which "
        "an injection takes from the source.",
        choices=PATH_MATCHES,
    )
    until: float = setting(
        1.0, "Share of the timesteps, from noise on, that attend along the flow; 0 is none.", low=0, high=1
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def guides(self, timestep: float, num_train_timesteps: int) -> bool:
        """Whether the step at a timestep attends along the flow."""
        return self.until > 0 and timestep >= (1 - self.until) * num_train_timesteps
