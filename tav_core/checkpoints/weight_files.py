"""Reads model weights from the usual kinds of files: .safetensors, or a pickle (.ckpt, .pt, .pth, .bin).

Its content decides what a file is (file_kinds.py), because people rename files. part_folders.py reads weights that are
split into several files.
No code from a file ever runs: pickles are read with `weights_only=True`, and one that needs more is refused.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from ..cancelling import cancellable
from ..errors import CheckpointError
from ..paths import check_input_path
from ..tensor_files import load_header, open_tensors
from .file_kinds import PICKLE, SAFETENSORS, UNFINISHED, find_kind, refuse_other_content

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
# The names under which trainers put a model's tensors beside others, the most wanted first.
WRAPPERS = ("state_dict", "ema", "model", "adapter")


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightFile:
    """An open file of named tensors. The shapes are known at once; the values are read on demand.

    Args:
        path: the path of the file.
        shapes: the shape of every tensor, by name.
        fetch: reads the tensors with the given names.
        metadata: what a safetensors file says about itself, all text; empty for a pickle.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    fetch: Callable[[Iterable[str]], dict[str, Tensor]]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def read(self, prefix: str = "") -> dict[str, Tensor]:
        """The tensors whose names start with `prefix`, on the CPU, in the dtype that they were saved in."""
        return self.fetch(name for name in self.shapes if name.startswith(prefix))

    def shapes_under(self, prefix: str) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors whose names start with `prefix`, the prefix taken off."""
        return {name.removeprefix(prefix): shape for name, shape in self.shapes.items() if name.startswith(prefix)}


def open_weights(path: str | Path) -> WeightFile:
    """Opens a file of tensors. One of `WRAPPERS` around them is taken off.

    Raises:
        CheckpointError: no such file, another kind of file, a damaged one, or a pickle that would run code.
    """
    path = check_input_path(path, CheckpointError)
    if path.is_dir():
        inside = sorted(item.name for item in path.iterdir() if item.suffix.lower() in SUFFIXES)
        raise CheckpointError(
            got=f"{path}, a folder",
            expected="a file of weights",
            mend=f"Give a file in it{f', such as {inside[0]}' if inside else ''}.",
        )
    if not path.is_file():
        raise CheckpointError(got=f"{path}, no such file", expected="a file of weights", mend="Check the path.")
    suffix = path.suffix.lower()
    kind = find_kind(path)
    if not kind:
        refuse_other_content(path, text=suffix in SUFFIXES)
        if suffix not in SUFFIXES:
            raise _other_type(path)
        kind = SAFETENSORS if suffix in SAFETENSORS_SUFFIXES else PICKLE
    return _open_safetensors(path) if kind == SAFETENSORS else _open_pickle(path)


def _other_type(path: Path) -> CheckpointError:
    mend = "Give the model's own file or its diffusers folder."
    if path.suffix.lower() in UNFINISHED:
        mend = "A download that has not ended has such a name: wait for it, or start it again."
    if path.suffix.lower() == ".json":
        mend = f"Give the folder that it is in: {path.parent}."
    return CheckpointError(
        got=f"{path}, a file of type {path.suffix or '(none)'}", expected=f"one of {', '.join(SUFFIXES)}", mend=mend
    )


def _open_safetensors(path: Path) -> WeightFile:
    def fetch(names: Iterable[str]) -> dict[str, Tensor]:
        with open_tensors(path, error=CheckpointError, what=WHOLE_FILE) as file:
            return {name: file.get_tensor(name) for name in cancellable(names)}

    shapes, metadata = load_header(path, error=CheckpointError, what=WHOLE_FILE)
    return WeightFile(path=path, shapes=shapes, fetch=fetch, metadata=metadata)


def _open_pickle(path: Path) -> WeightFile:
    loaded = _unpickle(path)
    if title := _name_pickle(loaded):
        raise CheckpointError(
            got=f"{path}, {title}, a pickle without named tensors of a model",
            expected="the weights of a model",
            mend="Give the model's own file.",
        )
    while inner := find_wrapped(loaded):
        loaded = inner
    tensors = loaded if isinstance(loaded, Mapping) else {}
    tensors = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor) and isinstance(name, str)}
    if not tensors:
        raise CheckpointError(
            got=f"{path}, a pickle without named tensors",
            expected=f"a dictionary of tensors, or one under one of the names {', '.join(WRAPPERS)}",
            mend="Give the model's own file.",
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return WeightFile(path=path, shapes=shapes, fetch=lambda names: {name: tensors[name] for name in names})


def find_wrapped(loaded: Any) -> Mapping[Any, Any] | None:
    """The tensors that a pickle holds beside other things, or None if it holds them at once."""
    names = WRAPPERS if isinstance(loaded, Mapping) else ()
    return next((loaded[name] for name in names if isinstance(loaded.get(name), Mapping)), None)


def _name_pickle(loaded: Any) -> str:
    """What a pickle holds, if it is known and is no model."""
    names = set(loaded) if isinstance(loaded, Mapping) else set()
    if "param_groups" in names:
        return "the state of an optimizer"
    if {"image_proj", "ip_adapter"} <= names:
        return "an IP-Adapter"
    return "a textual inversion embedding" if {"string_to_param", "string_to_token"} <= names else ""


def _unpickle(path: Path) -> Any:
    if torch.__version__ < SAFE_UNPICKLING_SINCE:
        raise CheckpointError(
            got=f"{path}, a pickle, with PyTorch {torch.__version__}",
            expected="a .safetensors file, or PyTorch 2.6: older ones can be made to run code by a pickle",
            mend="Update PyTorch, or take the .safetensors of this model.",
        )
    # By its path, torch would read a file named .safetensors as one. Without a path, it cannot map it into memory.
    by_path = path.suffix.lower() not in SAFETENSORS_SUFFIXES
    try:
        with torch.serialization.safe_globals([_lightning_placeholder()]), path.open("rb") as file:
            source, mmap = (path, zipfile.is_zipfile(path)) if by_path else (file, False)
            return torch.load(source, map_location="cpu", weights_only=True, mmap=mmap)
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
    reason = reason.partition(". ")[0].removesuffix(".")
    size = f"{path.stat().st_size} bytes"
    return CheckpointError(
        got=f"{path} of {size}, which cannot be read ({reason or type(error).__name__})",
        expected=WHOLE_FILE,
        mend=f"The download probably stopped early: get the file again. {more}".strip(),
    )
