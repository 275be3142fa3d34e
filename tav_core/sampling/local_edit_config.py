"""The settings of local edits: the one source of their defaults and bounds."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import check_settings, setting


@dataclass(frozen=True, kw_only=True)
class LocalEditConfig:
    """Where in a clip to edit, beside a mask. Feather and ramp are our choice.

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    feather: int = setting(8, "Pixels beyond the mask in which the edit fades out; 0 is a hard edge.", low=0, high=512)
    first_frame: int = setting(0, "First frame to edit, counted from 0.", low=0, high=2**31 - 1)
    last_frame: int = setting(-1, "Last frame to edit; -1 is the last of the clip.", low=-1, high=2**31 - 1)
    ramp: int = setting(
        3, "Frames within the range, at its ends, over which the edit fades in and out.", low=0, high=64
    )

    def __post_init__(self) -> None:
        check_settings(self)
