"""Safetensors files: written completely or not at all, and read with errors that say what is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .atomic_files import whole_file
from .cancelling import cancellable
from .errors import InputError, explain_out_of_memory
from .paths import check_input_path, check_output_path

# float16 and float32 are written here; other tools write the other two.
FLOAT_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Writes tensors and string metadata to a temporary file beside `path`, then moves it into place.

    A crash, a full disk or a kill leaves the old file as it was.

    Raises:
        OutputError: the file cannot be written.
        OutOfMemory: there is no room for the copies on the CPU; the old file is as it was.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = check_output_path(path)
    with explain_out_of_memory(f"writing {path}", "Close other programs."), whole_file(path) as temporary:
        ready = on_cpu(tensors)
        try:
            save_file(ready, temporary, dict(metadata))
        except SafetensorError as error:
            raise as_os_error(error) from error
    return path


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as safetensors needs them: on the CPU, contiguous, and sharing no memory."""
    ready: dict[str, Tensor] = {}
    places = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        ready[name] = own.clone() if place in places else own
        places.add(place)
    return ready


def as_os_error(error: Exception) -> OSError:
    """The OSError behind a SafetensorError, whose text holds the system's error number."""
    import re

    number = re.search(r"os error (\d+)", str(error))
    code = int(number.group(1)) if number else 0
    return OSError(code, os.strerror(code) if code else str(error))


def load_tensors(path: str | Path, *, error: type[InputError], what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a safetensors file and its metadata onto the CPU. The file may change or vanish afterwards.

    Args:
        error: the class to raise.
        what: what the file should be, for the message: "a motion file".
    """
    with open_tensors(path, error=error, what=what) as file:
        # The handle's tensors are mapped from the file: if the file were cut short, a signal would end this process,
        # and Windows would not let it be replaced. The handle is not a dict: it has keys(), but no iteration.
        tensors = {name: file.get_tensor(name).clone() for name in cancellable(file.keys())}
        return tensors, dict(file.metadata() or {})


def load_header(
    path: str | Path, *, error: type[InputError], what: str
) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Reads the shapes and the metadata of a safetensors file, but no tensors. For the arguments see `load_tensors`."""
    with open_tensors(path, error=error, what=what) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        return shapes, dict(file.metadata() or {})


@contextmanager
def open_tensors(path: str | Path, *, error: type[InputError], what: str) -> Iterator[Any]:
    """Opens a safetensors file. It gives safetensors' own handle, which reads a tensor when asked for it.

    Args:
        error: the class to raise, also for what cannot be read through the handle.
        what: what the file should be, for the message: "a motion file".
    """
    from safetensors import SafetensorError, safe_open

    path = check_input_path(path, error)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise error(got=f"{path}, {found}", expected=what, mend="Check the path.")
    size = path.stat().st_size
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as cause:
        raise error(
            got=f"{path} of {size} bytes, which cannot be read as safetensors ({cause})",
            expected=what,
            mend="Make, copy or download it again: it is incomplete, damaged or of another kind.",
        ) from cause


def holds_finite_floats(tensor: Tensor) -> bool:
    """Whether a tensor holds floating-point numbers of an ordinary dtype, all finite. Waits for the device."""
    return tensor.dtype in FLOAT_DTYPES and bool(torch.isfinite(tensor).all())


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and signs. Rounding changes no sign, so copies in any precision agree.

    Every fine-tuning changes some of a model's millions of signs.
    """
    import hashlib

    import numpy as np

    total = hashlib.sha256()
    for name in cancellable(sorted(tensors)):
        tensor = tensors[name].detach()
        total.update(f"{name} {tuple(tensor.shape)}".encode())
        total.update(np.packbits(tensor.signbit().cpu().numpy()).data)
    return total.hexdigest()
