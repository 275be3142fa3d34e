"""An inflated UNet as a diffusers folder: its weights as they are, and its modes in the folder's config.json.

diffusers rebuilds a saved model from its config and then fills in the weights. So the config has to say that the UNet
was inflated, and how: under `inflation`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel

from ..errors import CheckpointError, ConfigError
from .attention_modes import recorded_modes
from .positions import RelativeBias
from .precision import usual_defaults

INFLATION = "inflation"
MODES = ("attention", "attention_k", "group_norm", "backend", "positions")
# Whether a UNet has temporal attention: "last" if only the last block of each Transformer2D has, see `TEMPORAL_BLOCKS`,
# else true or false; those saved before there was a choice have it in all.
TEMPORAL = "temporal"
# Where in a block these stand; at the end in those saved before there was a choice.
PLACE = "place"
# What SDXL's UNet is told where a conditioning has no sizes; left out where that is the clip's size.
SIZES = "size_ids"
# The distance in frames from which on all share LaVie's bias; left out where there is no limit.
LIMIT = "longest_distance"


class SavedUNet(UNet2DConditionModel):
    """A UNet whose config holds the modes it was inflated with, and whose folder gives back what was saved."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ConfigError(
            got=f"{type(self).__name__} built from a config's values",
            expected="a 2-D UNet, or a saved video UNet",
            mend="Use from_2d for a 2-D UNet and from_pretrained for a folder.",
        )

    @property
    def modes(self) -> dict[str, Any]:
        """The modes as `set_modes` takes them."""
        return {name: self.config[INFLATION][name] for name in MODES}

    @property
    def recorded_modes(self) -> dict[str, Any]:
        """What a motion and a run record of the modes."""
        temporal = "last" if self.config[INFLATION].get(TEMPORAL) == "last" else "all"
        return recorded_modes({**self.modes, TEMPORAL: temporal})

    @property
    def size_ids(self) -> tuple[int, ...] | None:
        """The sizes that SDXL's UNet is told where a conditioning has none; None for the size of the latents."""
        sizes = self.config[INFLATION].get(SIZES)
        return tuple(sizes) if sizes else None

    def limit_distance(self, longest: int | None) -> None:
        """Makes frames that are farther apart than `longest` share LaVie's bias, in place; None for no limit."""
        tables = [module for module in self.modules() if isinstance(module, RelativeBias)]
        for table in tables:
            table.longest = longest
        kept = {name: value for name, value in self.config[INFLATION].items() if name != LIMIT}
        limited = {LIMIT: longest} if tables and longest is not None else {}
        self.register_to_config(**{INFLATION: {**kept, **limited}})

    def set_size_ids(self, sizes: Sequence[int] | None) -> None:
        """Sets the sizes that the UNet is told where a conditioning has none, in place."""
        kept = {name: value for name, value in self.config[INFLATION].items() if name != SIZES}
        self.register_to_config(**{INFLATION: {**kept, **({SIZES: list(sizes)} if sizes else {})}})

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Writes weights and modes as diffusers does; `from_pretrained` of this class reads them.

        Raises:
            ConfigError: the UNet has PEFT adapters, which rename the weights that they wrap. Nothing is written.
        """
        if getattr(self, "peft_config", None):
            raise ConfigError(
                got=f"a UNet with the adapters {', '.join(self.peft_config)}",
                expected="one without adapters, whose weights have the names that reading looks for",
                mend="Save the adapter alone by save_lora_adapter, then call unload_lora and save the UNet.",
            )
        super().save_pretrained(save_directory, **kwargs)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *, output_loading_info: bool = False, **kwargs: Any
    ) -> Any:
        """Reads a UNet that `save_pretrained` wrote, from this machine alone, with all that diffusers' method takes.

        Args:
            pretrained_model_name_or_path: the folder. A model hub is never asked, whatever `local_files_only` says.
            output_loading_info: as well as the UNet, diffusers' account of what was read.
            kwargs: diffusers' own, and any of the modes, in place of the saved one: `backend="sdpa"` where the UNet
                was saved with xformers and this machine has none.

        Raises:
            CheckpointError: no such folder, or it holds a 2-D UNet, unknown modes, or not every weight.
            ConfigError: a mode that this machine or this version does not have.
        """
        path = Path(pretrained_model_name_or_path)
        if not path.is_dir():
            raise CheckpointError(
                got=f"{path}, which is no folder here",
                expected="the folder that save_pretrained wrote",
                mend="Check the path. Nothing is downloaded: fetch a model of a hub first.",
            )
        kwargs.pop("local_files_only", None)
        with usual_defaults():
            unet, info = super().from_pretrained(path, output_loading_info=True, local_files_only=True, **kwargs)
        if unexpected := sorted(info.get("unexpected_keys", ())):
            raise CheckpointError(
                got=f"{path} with {len(unexpected)} weights more, such as {unexpected[0]}",
                expected=f"the weights of a {cls.__name__} and no others",
                mend="Read it with the class that wrote it: LaVie's super-resolution is an UpscalerUNet.",
            )
        if missing := sorted(info.get("missing_keys", ())):
            raise CheckpointError(
                got=f"{path} without {len(missing)} of its weights, such as {missing[0]}",
                expected="every weight of the video UNet",
                mend="Save it again by save_pretrained.",
            )
        return (unet, info) if output_loading_info else unet

    @classmethod
    def from_config(cls, config: Mapping[str, Any], return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """A UNet with the sizes and modes of a config, whose weights are still to be filled in.

        Raises:
            CheckpointError: the config of a 2-D UNet, or one with unknown modes.
        """
        given = {name: kwargs.pop(name) for name in MODES if name in kwargs}
        modes = {TEMPORAL: True, **read_modes(config), **given}
        flat = {name: value for name, value in config.items() if name != INFLATION}
        unet, unused = UNet2DConditionModel.from_config(flat, return_unused_kwargs=True, **kwargs)
        sizes, longest = modes.pop(SIZES, None), modes.pop(LIMIT, None)
        inflated = cls.from_2d(unet, **modes)
        inflated.set_size_ids(sizes)
        inflated.limit_distance(longest)
        return (inflated, unused) if return_unused_kwargs else inflated


def read_modes(config: Mapping[str, Any]) -> dict[str, Any]:
    """The modes in a saved UNet's config.

    Raises:
        CheckpointError: there are none, or others than this version has.
    """
    modes = config.get(INFLATION)
    if modes is None:
        raise CheckpointError(
            got="the config of a UNet that was not inflated",
            expected="that of a video UNet, written by InflatedUNet.save_pretrained",
            mend="Read it as diffusers' UNet2DConditionModel, then call InflatedUNet.from_2d.",
        )
    if not isinstance(modes, Mapping) or set(modes) - {TEMPORAL, PLACE, SIZES, LIMIT} != set(MODES):
        raise CheckpointError(
            got=f"the modes {modes} in the UNet's config",
            expected=f"a value for each of {', '.join(MODES)}",
            mend="Read it with the version of this library that wrote it, or mend `inflation` in its config.json.",
        )
    return dict(modes)
