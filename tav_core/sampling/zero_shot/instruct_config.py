"""The settings of Video Instruct-Pix2Pix: the one source of their defaults and bounds."""

from __future__ import annotations

from dataclasses import dataclass

from ...settings import check_settings, setting

SAMPLERS = ("euler_ancestral", "ddim")


@dataclass(frozen=True, kw_only=True)
class InstructConfig:
    """How to edit by an instruction. The defaults are Text2Video-Zero's (model.py, process_pix2pix).

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    num_steps: int = setting(50, "Sampling steps.", low=1, high=999)
    guidance_scale: float = setting(7.5, "How strongly the edit follows the instruction.", low=0, high=100)
    image_guidance_scale: float = setting(
        1.0, "How strongly the edit keeps to the clip; 1.2 to 2 keeps more of it.", low=0, high=100
    )
    sampler: str = setting(
        "euler_ancestral",
        "euler_ancestral is the original's and adds fresh noise in each step; ddim adds none and flickers less.",
        choices=SAMPLERS,
    )
    seed: int = setting(33, "Seed of all noise.", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        check_settings(self)
