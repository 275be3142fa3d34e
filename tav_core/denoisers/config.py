"""The settings of a control: the one source of their defaults and bounds."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from ..models.attention_modes import MODES
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
