"""Reads model weights from the usual kinds of files: .safetensors, or a pickle (.ckpt, .pt, .pth, .bin).

No code from a file ever runs: pickles are read with `weights_only=True`, and one that needs more is refused.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..paths import check_input_path
from ..tensor_files import load_header, open_tensors

SAFETENSORS_SUFFIXES = (".safetensors", ".sft")
PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin")
SUFFIXES = SAFETENSORS_SUFFIXES + PICKLE_SUFFIXES

# torch.load(weights_only=True) could be made to run code before this version (CVE-2025-32434).
SAFE_UNPICKLING_SINCE = "2.6"
CONVERT = (
    "Use the .safetensors of this model if its maker offers one; else convert the file with a tool you trust, on a"
    " machine that holds nothing of value: load it with torch.load(path, weights_only=False), keep only the tensors of"
    ' its "state_dict", and write them with safetensors.torch.save_file.'
)
WHOLE_FILE = "a whole file of weights"
PLACEHOLDERS = {
    b"version https://git-lfs": "a Git LFS pointer",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightFile:
    """An open file of named tensors. The shapes are known at once; the values are read on demand.

    Args:
        path: the path of the file.
        shapes: the shape of every tensor, by name.
        fetch: reads the tensors with the given names.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    fetch: Callable[[Iterable[str]], dict[str, Tensor]]

    def read(self, prefix: str = "") -> dict[str, Tensor]:
        """The tensors whose names start with `prefix`, on the CPU, in the dtype that they were saved in."""
        return self.fetch(name for name in self.shapes if name.startswith(prefix))

    def shapes_under(self, prefix: str) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors whose names start with `prefix`, the prefix taken off."""
        return {name.removeprefix(prefix): shape for name, shape in self.shapes.items() if name.startswith(prefix)}


def open_weights(path: str | Path) -> WeightFile:
    """Opens a file of tensors. A "state_dict" around them is unwrapped.

    Raises:
        CheckpointError: no such file, another kind of file, a damaged one, or a pickle that would run code.
    """
    path = check_input_path(path, CheckpointError)
    if not path.is_file():
        raise CheckpointError(got=f"{path}, no such file", expected="a file of weights", mend="Check the path.")
    if path.suffix.lower() not in SUFFIXES:
        raise CheckpointError(
            got=f"{path}, a file of type {path.suffix or '(none)'}",
            expected=f"one of {', '.join(SUFFIXES)}",
            mend="Give the model's own file or its diffusers folder.",
        )
    _refuse_placeholder(path)
    return _open_safetensors(path) if path.suffix.lower() in SAFETENSORS_SUFFIXES else _open_pickle(path)


def _refuse_placeholder(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    for mark, found in PLACEHOLDERS.items():
        if start.startswith(mark):
            raise CheckpointError(
                got=f"{path}, {found} of {path.stat().st_size} bytes",
                expected="the weights themselves",
                mend="Download the complete file (with `git lfs pull` in a git clone).",
            )


def _open_safetensors(path: Path) -> WeightFile:
    def fetch(names: Iterable[str]) -> dict[str, Tensor]:
        with open_tensors(path, error=CheckpointError, what=WHOLE_FILE) as file:
            return {name: file.get_tensor(name) for name in names}

    shapes, _ = load_header(path, error=CheckpointError, what=WHOLE_FILE)
    return WeightFile(path=path, shapes=shapes, fetch=fetch)


def _open_pickle(path: Path) -> WeightFile:
    loaded = _unpickle(path)
    while isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    tensors = loaded if isinstance(loaded, Mapping) else {}
    tensors = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor) and isinstance(name, str)}
    if not tensors:
        raise CheckpointError(
            got=f"{path}, a pickle without named tensors",
            expected="a dictionary of tensors, or one under the name state_dict",
            mend="Give the model's own file.",
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return WeightFile(path=path, shapes=shapes, fetch=lambda names: {name: tensors[name] for name in names})


def _unpickle(path: Path) -> Any:
    if torch.__version__ < SAFE_UNPICKLING_SINCE:
        raise CheckpointError(
            got=f"{path}, a pickle, with PyTorch {torch.__version__}",
            expected="a .safetensors file, or PyTorch 2.6: older ones can be made to run code by a pickle",
            mend="Update PyTorch, or take the .safetensors of this model.",
        )
    try:
        with torch.serialization.safe_globals([_lightning_placeholder()]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except MemoryError:
        raise
    # A damaged pickle may raise almost anything: KeyError, EOFError, OSError, RuntimeError, UnpicklingError ...
    except Exception as error:
        asked_for = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked_for is None:
            raise _damaged(path, error, more=CONVERT if isinstance(error, UnpicklingError) else "") from error
        raise CheckpointError(
            got=f"{path}, a pickle that wants to run {asked_for[1]}; it was not read",
            expected="nothing but tensors, numbers and text in it",
            mend=CONVERT,
        ) from error


def _lightning_placeholder() -> type:
    """An empty class in place of the one that the .ckpt files of Stability and CompVis refer to."""
    module = "pytorch_lightning.callbacks.model_checkpoint"
    return type("ModelCheckpoint", (), {"__module__": module, "__qualname__": "ModelCheckpoint"})


def _damaged(path: Path, error: Exception, more: str = "") -> CheckpointError:
    # torch.load's message surrounds the reason with advice on how to run the file's code anyway.
    reason = str(error).rpartition("WeightsUnpickler error:")[2].strip().partition("\n")[0]
    size = f"{path.stat().st_size} bytes"
    return CheckpointError(
        got=f"{path} of {size}, which cannot be read ({reason or type(error).__name__})",
        expected=WHOLE_FILE,
        mend=f"The download probably stopped early: get the file again. {more}".strip(),
    )
