"""The options of an inflation: checked before anything is built, and which blocks get temporal attention."""

from __future__ import annotations

from diffusers import UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel

from ..errors import ConfigError
from .attention import check_backend
from .attention_modes import (
    ALL_POSITIONS,
    GROUP_NORMS,
    PLACES,
    TEMPORAL_BLOCKS,
    check_positions,
    visible_frames,
)
from .families import find_family


def choose_temporal(unet: UNet2DConditionModel, temporal: bool | str) -> set[int]:
    """The ids of the transformer blocks of a 2-D UNet that get temporal attention.

    Args:
        temporal: see `InflatedUNet.from_2d`.

    Raises:
        ConfigError: it is none of these.
    """
    if temporal is False:
        return set()
    which = "all" if temporal is True else temporal
    which = find_family(unet.config).temporal if which == "auto" else which
    if which not in TEMPORAL_BLOCKS:
        raise ConfigError(
            got=f"temporal {temporal!r}",
            expected=f"one of auto, {', '.join(TEMPORAL_BLOCKS)}, true or false",
            mend="Use 'auto', the family's usual.",
        )
    transformers = [module for module in unet.modules() if isinstance(module, Transformer2DModel)]
    first = 0 if which == "all" else -1
    return {id(block) for transformer in transformers for block in list(transformer.transformer_blocks)[first:]}


def check_options(
    attention: str, attention_k: int, group_norm: str, backend: str, positions: str, place: str = "end"
) -> None:
    """Checks the options of `InflatedUNet.from_2d` before anything is built."""
    visible_frames(attention, 1, attention_k)
    check_backend(backend)
    check_positions(positions, among=ALL_POSITIONS)
    if place not in PLACES:
        raise ConfigError(
            got=f"place {place!r}", expected=f"one of {', '.join(PLACES)}", mend="Use 'end', as the original."
        )
    if group_norm not in GROUP_NORMS:
        raise ConfigError(
            got=f"group_norm {group_norm!r}",
            expected=f"one of {', '.join(GROUP_NORMS)}",
            mend="Use 'frame', or 'clip' as the original.",
        )
