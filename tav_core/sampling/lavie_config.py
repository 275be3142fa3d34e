"""The settings of LaVie's three steps: the one source of their defaults and bounds."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from ..settings import check_settings, setting
from .latent_size import check_sides, latent_size

# See noise_steps.py.
SAMPLERS = ("ddpm", "ddim", "euler")
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class TextToVideoConfig:
    """How to make a video from a prompt with LaVie's base. The defaults are the original's (base/configs/sample.yaml).

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    num_frames: int = setting(16, "Frames of the video; LaVie was trained on 16.", low=1, high=10_000)
    width: int = setting(512, "Width of the video in pixels, a multiple of 8.", low=64, high=8192)
    height: int = setting(320, "Height of the video in pixels, a multiple of 8.", low=64, high=8192)
    num_steps: int = setting(50, "Sampling steps.", low=1, high=999)
    guidance_scale: float = setting(
        7.5, "How strongly the video follows the prompt; 1 or less turns guidance off.", low=0, high=100
    )
    sampler: str = setting(
        "ddpm", "ddpm is the original's and adds fresh noise in each step; ddim and euler add none.", choices=SAMPLERS
    )
    seed: int = setting(400, "Seed of all noise.", low=0, high=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_settings(self)
        check_sides(self)

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        return latent_size(self)


@dataclass(frozen=True, kw_only=True)
class InterpolateConfig:
    """How to put three frames between two. The defaults are the original's (interpolation/sample.py).

    Raises:
        ConfigError: a setting is out of its range, or windows overlap by their whole length.
    """

    num_steps: int = setting(50, "Sampling steps.", low=1, high=999)
    guidance_scale: float = setting(
        4.0, "How strongly the video follows the prompt; 1 or less turns guidance off.", low=0, high=100
    )
    negative: str = setting("None", "The negative prompt; the original's is this very word.")
    prompt_suffix: str = setting(", 4k.", "Appended to the prompt, as the original does.")
    window: int = setting(
        16, "Frames of the clip that are interpolated together; LaVie was trained on 16.", low=2, high=10_000
    )
    window_overlap: int = setting(4, "Frames of the clip that two neighbouring windows share.", low=1, high=10_000)
    seed: int = setting(3418, "Seed of all noise.", low=0, high=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.window_overlap >= self.window:
            raise ConfigError(
                got=f"windows of {self.window} frames that overlap by {self.window_overlap}",
                expected="an overlap below the length",
                mend=f"Use {max(self.window // 4, 1)}, a quarter of the length.",
            )


@dataclass(frozen=True, kw_only=True)
class UpscaleConfig:
    """How to make a video four times as wide and high. The defaults are the original's (vsr/configs/sample.yaml), but
    for the overlap, which it lacks: its videos have a seam at every eighth frame.

    Raises:
        ConfigError: a setting is out of its range, or chunks overlap by their whole length.
    """

    num_steps: int = setting(50, "Sampling steps.", low=1, high=999)
    guidance_scale: float = setting(
        5.0, "How strongly the video follows the prompt; 1 or less turns guidance off.", low=0, high=100
    )
    negative: str = setting("blur, worst quality", "The negative prompt.")
    noise_level: int = setting(
        50, "Noise put on the input, in timesteps; more lets the model draw more of its own.", low=0, high=350
    )
    chunk: int = setting(8, "Frames that are upscaled together; LaVie was trained on 8.", low=1, high=10_000)
    chunk_overlap: int = setting(
        2,
        "Frames that two neighbouring chunks share, so that they blend; 0 as in the original, but for the last chunk.",
        low=0,
        high=10_000,
    )
    seed: int = setting(10, "Seed of all noise.", low=0, high=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.chunk_overlap >= self.chunk:
            raise ConfigError(
                got=f"chunks of {self.chunk} frames that overlap by {self.chunk_overlap}",
                expected="an overlap below the length",
                mend=f"Use {self.chunk // 4}, a quarter of the length.",
            )
