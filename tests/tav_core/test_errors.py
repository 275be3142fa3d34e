"""tav_core/errors.py: three beats in every message, and one tree."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
import torch

from tav_core import errors
from tav_core.errors import InputError, OutOfMemory, OutputError, TavError, explain_out_of_memory, explain_write_failure
from tests.project_files import ROOT, python_files

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, TavError)]


@pytest.mark.parametrize("cls", CLASSES)
def test_a_message_has_three_beats(cls):
    message = str(cls(got="a cat", expected="a dog", mend="Call the dog."))
    assert message == "Got a cat. Expected a dog. Call the dog."


def test_the_tree_in_the_docstring_is_the_tree():
    for cls in CLASSES:
        assert cls.__name__ in errors.__doc__
    assert all(issubclass(cls, ValueError) for cls in CLASSES if issubclass(cls, InputError))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"),
    ],
)
def test_out_of_memory_is_explained(error):
    with (
        pytest.raises(OutOfMemory, match=r"while tuning.*Use fewer frames"),
        explain_out_of_memory("tuning", "Use fewer frames."),
    ):
        raise error


def test_a_real_allocation_failure_is_explained():
    with pytest.raises(OutOfMemory), explain_out_of_memory("tuning", "Use fewer frames."):
        torch.empty(2**60)


def test_other_errors_pass_through():
    with pytest.raises(RuntimeError, match="shape"), explain_out_of_memory("tuning", "Use fewer frames."):
        raise RuntimeError("shape mismatch")


def test_write_failures_are_explained():
    with pytest.raises(OutputError, match=r"no space left.*Free some space"), explain_write_failure(Path("x")):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutputError, match="may be written to"), explain_write_failure(Path("x")):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_nothing_in_the_library_prints_or_asserts_on_input():
    """Messages go through errors; only the command line prints."""
    names = ("main", "commands", "animate", "lavie", "several_clips", "zero_shot", "batch", "study")
    printing = {f"cli/{name}.py" for name in names}
    for path in python_files("tav_core"):
        text = path.read_text()
        if path.relative_to(ROOT / "tav_core").as_posix() not in printing:
            assert not re.search(r"^\s*print\(", text, re.MULTILINE), path
        assert not re.search(r"raise (RuntimeError|Exception|NotImplementedError)\(", text), path
