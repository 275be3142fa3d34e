"""Loads encoders from the user's own files with transformers, offline: no model hub is ever contacted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from ..models.precision import usual_defaults
from .part_folders import read_json


def read_model_type(folder: Path) -> str:
    """What kind of model transformers saved in a folder, as in "clip"; "" if the config does not say.

    Raises:
        CheckpointError: there is no such folder, or no config in it.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise CheckpointError(
            got=f"{folder}, {'a folder without config.json' if folder.is_dir() else 'no such file or folder'}",
            expected="a folder that transformers saved, on this machine",
            mend="Check the path. Names on a model hub do not work: download the model first.",
        )
    return str(read_json(config).get("model_type", ""))


def load_pretrained(
    model_class: Any,
    path: Path,
    *,
    config: Any = None,
    tensors: Mapping[str, Tensor] | None = None,
    optional: tuple[str, ...] = (),
    **options: Any,
) -> nn.Module:
    """A frozen model in float32 on the CPU, from a folder, or from a config and tensors that were read already.

    Args:
        model_class: of transformers.
        path: the folder, or the file that the tensors come from, for messages.
        optional: names of weights that may be missing. They are NaN then; transformers leaves there what was in memory.
        options: for `from_pretrained`.

    Raises:
        CheckpointError: the weights are missing, damaged, or do not fit.
    """
    given = {"config": config, "state_dict": dict(tensors)} if tensors is not None else {"local_files_only": True}
    try:
        with usual_defaults():
            model, report = model_class.from_pretrained(
                None if tensors is not None else str(path), output_loading_info=True, **given, **options
            )
    # transformers has no error class of its own for files that it cannot read.
    except Exception as error:
        raise CheckpointError(
            got=f"{path}, which cannot be loaded ({str(error).strip().splitlines()[0] if str(error) else type(error)})",
            expected=f"the weights of a {model_class.__name__}, whole",
            mend="Get the model again, or choose another.",
        ) from error
    missing = sorted(set(report["missing_keys"]) - set(optional))
    if missing:
        raise CheckpointError(
            got=f"{path} without {missing[0]}" + (f" and {len(missing) - 1} more weights" if len(missing) > 1 else ""),
            expected=f"the weights of a {model_class.__name__}, whole",
            mend="Get the model again, or choose another.",
        )
    for name in report["missing_keys"]:
        model.get_parameter(name).data.fill_(math.nan)
    return model.to(torch.float32).requires_grad_(False).eval()
