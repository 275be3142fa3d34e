"""The settings of Text2Video-Zero: the one source of their defaults and bounds."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigError
from ...settings import check_settings, setting
from ..latent_size import check_sides, latent_size


@dataclass(frozen=True, kw_only=True)
class ZeroShotConfig:
    """How to make a video from a prompt. The defaults are the original's (text_to_video_pipeline.py and model.py).

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    num_frames: int = setting(8, "Frames of the video.", low=1, high=10_000)
    width: int = setting(512, "Width of the video in pixels, a multiple of 8.", low=64, high=8192)
    height: int = setting(512, "Height of the video in pixels, a multiple of 8.", low=64, high=8192)
    num_steps: int = setting(50, "Sampling steps.", low=1, high=999)
    guidance_scale: float = setting(
        7.5, "How strongly the video follows the prompt; 1 or less turns guidance off.", low=0, high=100
    )
    seed: int = setting(33, "Seed of all noise.", low=0, high=2**63 - 1)
    t0: float = setting(
        0.88, "Share of the noise schedule at which the first frame is moved. The original's t0 is 881.", low=0, high=1
    )
    t1: float = setting(
        0.94,
        "Share of the noise schedule up to which moved frames are noised, so that their objects may change. The "
        "original's t1 is 941.",
        low=0,
        high=1,
    )
    chunk_size: int = setting(
        8, "Frames that are computed at once, with frame 0 among them; fewer take less memory.", low=2, high=10_000
    )
    smoothing: float = setting(
        0.4,
        "With a foreground mask: how much a background keeps of its own; 0 takes all of it from the moved first frame.",
        low=0,
        high=1,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        check_sides(self)
        if self.t0 >= self.t1:
            raise ConfigError(
                got=f"t0 {self.t0} and t1 {self.t1}",
                expected="t0 below t1: frames are moved at t0, and noised again up to t1",
                mend="Use 0.88 and 0.94, the original's.",
            )

    def moments(self) -> tuple[int, int]:
        """The indices of t0 and t1 in the ascending list of timesteps, for any number of steps.

        Raises:
            ConfigError: there is only one step, so that nothing lies between the two.
        """
        if self.num_steps < 2:
            raise ConfigError(
                got="a motion field with 1 sampling step",
                expected="2 steps or more: frames are moved after the first ones",
                mend="Use 10 steps or more, or leave the motion field out.",
            )
        last = min(round(self.t1 * self.num_steps), self.num_steps - 1)
        last = max(last, 1)
        return max(min(round(self.t0 * self.num_steps), last - 1), 0), last

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        return latent_size(self)
