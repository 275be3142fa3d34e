"""Safetensors files: written completely or not at all, and read with errors that say what is wrong."""

from __future__ import annotations

import json
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
# The dtypes that are written, in safetensors' order, and their names in its header.
DTYPE_NAMES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int32: "I32",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
}
ALIGNMENT = 8


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Writes tensors and string metadata to a temporary file beside `path`, then moves it into place.

    Equal tensors and metadata give equal bytes. A crash, a full disk or a kill leaves the old file as it was.

    Raises:
        OutputError: the file cannot be written.
        OutOfMemory: there is no room for the copies on the CPU; the old file is as it was.
    """
    path = check_output_path(path)
    with explain_out_of_memory(f"writing {path}", "Close other programs."), whole_file(path) as temporary:
        write_safetensors(temporary, tensors, metadata)
    return path


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file (github.com/safetensors/safetensors, "Format"), tensor by tensor.

    safetensors' own writer orders the metadata at random and gives the file the mode 0600. Otherwise the bytes are the
    same.
    """
    # As safetensors does, so that every tensor is aligned: the widest first, and by name.
    widest = sorted(tensors, key=lambda name: (-list(DTYPE_NAMES).index(tensors[name].dtype), name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name in widest:
        begin, end = end, end + tensors[name].numel() * tensors[name].itemsize
        about = {"dtype": DTYPE_NAMES[tensors[name].dtype], "shape": list(tensors[name].shape)}
        header[name] = {**about, "data_offsets": [begin, end]}
    # JSON cannot hold half of a surrogate pair, which a prompt may have: it becomes a question mark.
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    text += b" " * (-len(text) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in widest:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data)


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
