"""The settings of sampling: the one source of their defaults and bounds."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import check_settings, setting


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """How to sample. The defaults are the original's (configs/*.yaml and pipeline_tuneavideo.py).

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    num_steps: int = setting(50, "Sampling steps; as many as the inversion had.", low=1, high=999)
    guidance_scale: float = setting(12.5, "How strongly the prompt leads; 1 or less is no guidance.", low=0, high=100)
    eta: float = setting(0.0, "Fresh noise at each step; 0 keeps the source's motion best.", low=0, high=1)
    seed: int = setting(33, "Seed of random starts and of fresh noise.", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        check_settings(self)
