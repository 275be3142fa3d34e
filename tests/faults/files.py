"""Files that are broken on purpose."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def safetensors_bytes(header: Any, data: bytes = bytes(8), *, length: int | None = None) -> bytes:
    """A file in the layout of safetensors: the header's length, the header, the data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


# Whole files that no reader may take for safetensors.
BROKEN: dict[str, bytes] = {
    "zero bytes": b"",
    "seven bytes": b"\0" * 7,
    "a length alone": struct.pack("<Q", 100),
    "zeros": bytes(4096),
    "a header longer than the file": safetensors_bytes({"a": ONE}, length=10**6),
    "a header of 2^63 bytes": safetensors_bytes({"a": ONE}, length=2**63),
    "a header of 2^64 - 1 bytes": safetensors_bytes({"a": ONE}, length=2**64 - 1),
    "a header that is cut off": safetensors_bytes({"a": ONE})[:30],
    "a header that is no JSON": safetensors_bytes(b"{not json at all"),
    "a header that is a list": safetensors_bytes([1, 2]),
    "a header that is a number": safetensors_bytes(7),
    "a header that is no UTF-8": safetensors_bytes(b'{"\xff\xfe": 1}'),
    "a header 100000 deep": safetensors_bytes(nested(100_000)),
    "a tensor without a dtype": safetensors_bytes({"a": {"shape": [2], "data_offsets": [0, 8]}}),
    "a dtype that there is not": safetensors_bytes({"a": {**ONE, "dtype": "Q7"}}),
    "a shape below zero": safetensors_bytes({"a": {**ONE, "shape": [-2]}}),
    "a shape that is text": safetensors_bytes({"a": {**ONE, "shape": "2"}}),
    "a shape whose product overflows": safetensors_bytes({"a": {**ONE, "shape": [2**32, 2**32, 2**32]}}),
    "a shape larger than its data": safetensors_bytes({"a": {**ONE, "shape": [3]}}),
    "offsets beyond the end": safetensors_bytes({"a": {**ONE, "data_offsets": [0, 80], "shape": [20]}}),
    "offsets the wrong way round": safetensors_bytes({"a": {**ONE, "data_offsets": [8, 0]}}),
    "offsets below zero": safetensors_bytes({"a": {**ONE, "data_offsets": [-8, 0]}}),
    "offsets that overlap": safetensors_bytes({"a": ONE, "b": {**ONE, "data_offsets": [4, 12]}}, bytes(12)),
    "offsets with a hole": safetensors_bytes({"a": ONE, "b": {**ONE, "data_offsets": [16, 24]}}, bytes(24)),
    "data that belong to nothing": safetensors_bytes({"a": ONE}, bytes(64)),
    "data that are cut off": safetensors_bytes({"a": ONE}, bytes(5)),
    "metadata that are no text": safetensors_bytes({"__metadata__": {"step": 1}, "a": ONE}),
    "metadata that are a list": safetensors_bytes({"__metadata__": ["x"], "a": ONE}),
    "a web page": b"<!doctype html><html>404</html>",
    "an LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    "a zip": b"PK\x03\x04" + bytes(60),
    "a pickle": b"\x80\x02}q\x00.",
}

Tensors, Metadata = dict[str, torch.Tensor], dict[str, str]


def rewrite(path: Path, change: Callable[[Tensors, Metadata], Any]) -> Path:
    """A safetensors file with its tensors or metadata changed in place."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    change(tensors, metadata)
    save_file(tensors, path, metadata)
    return path
