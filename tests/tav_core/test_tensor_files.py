"""tav_core/tensor_files.py: a file is written completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from tav_core.errors import InputError, MotionError, OutputError
from tav_core.tensor_files import DTYPE_NAMES, digest, holds_finite_floats, load_header, load_tensors, save_tensors

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1, dtype=torch.float16)}


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_round_trip(tmp_path):
    path = save_tensors(tmp_path / "new" / "x.safetensors", TENSORS, {"note": "hello"})
    tensors, metadata = load_tensors(path, error=InputError, what="")
    assert metadata == {"note": "hello"}
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())
    assert load_header(path, error=InputError, what="") == ({"a": (2, 3), "b": (1,)}, metadata)
    assert names(path.parent) == ["x.safetensors"]


def test_tensors_that_share_memory_are_each_written(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    given = {"whole": whole, "again": whole, "part": whole[1], "across": whole.T}
    tensors, _ = load_tensors(save_tensors(tmp_path / "x.safetensors", given, {}), error=InputError, what="")
    assert tensors.keys() == given.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in given.items())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, code):
    path = save_tensors(tmp_path / "x.safetensors", TENSORS, {})
    before = path.read_bytes()

    def fail(path, tensors, metadata):
        path.write_bytes(b"half")
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("tav_core.tensor_files.write_safetensors", fail)
    with pytest.raises(OutputError) as caught:
        save_tensors(path, TENSORS, {})
    assert ("Free some space" in str(caught.value)) == (code == errno.ENOSPC)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["x.safetensors"]


def test_a_disk_that_is_really_full(tmp_path):
    """On a file system of 1 MB, where one can be mounted."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small tmpfs needs root on Linux")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("this system does not let the tests mount a tmpfs")
    try:
        path = save_tensors(tmp_path / "x.safetensors", TENSORS, {})
        with pytest.raises(OutputError, match="no space left"):
            save_tensors(path, {"big": torch.zeros(1_000_000)}, {})
        assert load_tensors(path, error=InputError, what="")[0].keys() == TENSORS.keys()
        assert names(tmp_path) == ["x.safetensors"]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def every_dtype():
    return {f"{dtype}".removeprefix("torch."): torch.arange(6).to(dtype).reshape(2, 3) for dtype in DTYPE_NAMES}


@pytest.mark.parametrize(
    "tensors",
    [TENSORS, every_dtype(), {}, {"empty": torch.zeros(0, 3), "one": torch.tensor(2.0), "across": torch.ones(2, 3).T}],
)
@pytest.mark.parametrize("metadata", [{}, {"prompt": 'a "cat"\\ 滑雪\n\x01'}])
def test_the_bytes_are_those_of_safetensors_own_writer(tmp_path, tensors, metadata):
    """Which has no order of its own for more than one entry of metadata."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "theirs", metadata or None)
    assert save_tensors(tmp_path / "ours", tensors, metadata).read_bytes() == (tmp_path / "theirs").read_bytes()


def test_equal_contents_give_equal_bytes_in_every_order(tmp_path):
    metadata = {f"key {number}": str(number) for number in range(20)}
    one = save_tensors(tmp_path / "one", TENSORS, metadata).read_bytes()
    tensors, metadata = (dict(reversed(entries.items())) for entries in (TENSORS, metadata))
    assert save_tensors(tmp_path / "other", tensors, metadata).read_bytes() == one


def test_half_of_a_surrogate_pair_does_not_spoil_a_file(tmp_path):
    path = save_tensors(tmp_path / "x.safetensors", TENSORS, {"prompt": "a \ud83c cat"})
    assert load_tensors(path, error=InputError, what="")[1] == {"prompt": "a ? cat"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_new_files_take_the_umask_and_old_ones_keep_their_mode(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        path = save_tensors(tmp_path / "x.safetensors", TENSORS, {})
        assert path.stat().st_mode & 0o777 == mode
        path.chmod(0o640)
        assert save_tensors(path, TENSORS, {}).stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_unreadable_files_raise_the_class_asked_for(tmp_path):
    (tmp_path / "text.safetensors").write_text("hello, this is not a safetensors file at all")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    for name, said in {"text": "cannot be read", "empty": "cannot be read", "none": "no such file"}.items():
        with pytest.raises(MotionError, match=said):
            load_tensors(tmp_path / f"{name}.safetensors", error=MotionError, what="a motion file")
    with pytest.raises(MotionError, match="a folder"):
        load_tensors(tmp_path, error=MotionError, what="a motion file")


@pytest.mark.parametrize(
    ("tensor", "taken"),
    [
        (torch.zeros(2, dtype=torch.bfloat16), True),
        (torch.zeros(2, dtype=torch.float64), True),
        (torch.zeros(2, dtype=torch.int64), False),
        (torch.zeros(2, dtype=torch.complex64), False),
        (torch.tensor([0, float("nan")]), False),
        (torch.tensor([0, -float("inf")], dtype=torch.float16), False),
    ],
    ids=str,
)
def test_finite_floats_are_told_from_all_else(tensor, taken):
    assert holds_finite_floats(tensor) is taken


def test_digest_sees_names_shapes_and_signs_but_not_precision():
    one = digest({"a": torch.tensor([[1.0, -1e-9]]), "b": torch.zeros(1)})
    for dtype in (torch.float16, torch.bfloat16):
        assert one == digest({"b": torch.zeros(1, dtype=dtype), "a": torch.tensor([[1.0, -1e-9]]).to(dtype)})
    others = [
        {"a": torch.tensor([[1.0, -1e-9]]), "c": torch.zeros(1)},
        {"a": torch.tensor([[1.0], [-1e-9]]), "b": torch.zeros(1)},
        {"a": torch.tensor([[1.0, 1e-9]]), "b": torch.zeros(1)},
    ]
    assert one not in [digest(tensors) for tensors in others]
