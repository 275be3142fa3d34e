"""The size of a video that is to be made, in settings: checked in pixels, and given in latents."""

from __future__ import annotations

from typing import Protocol

from ..errors import ConfigError


class Sized(Protocol):
    """Settings with a width and a height in pixels."""

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        ...

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        ...


def check_sides(config: Sized) -> None:
    """Raises `ConfigError` unless width and height are multiples of the VAE's factor."""
    from ..layouts import VAE_FACTOR

    for name, side in (("width", config.width), ("height", config.height)):
        if side % VAE_FACTOR:
            raise ConfigError(
                got=f"{name} {side}",
                expected=f"a multiple of {VAE_FACTOR}",
                mend=f"Use {side // VAE_FACTOR * VAE_FACTOR}.",
            )


def latent_size(config: Sized) -> tuple[int, int]:
    """Height and width of the latents."""
    from ..layouts import VAE_FACTOR

    return config.height // VAE_FACTOR, config.width // VAE_FACTOR
