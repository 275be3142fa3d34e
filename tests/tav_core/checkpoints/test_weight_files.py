"""Files of tensors: what is read, and what must never run."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.weight_files import open_weights
from tav_core.errors import CheckpointError

TENSORS = {"first.weight": torch.arange(6.0).reshape(2, 3), "second.bias": torch.ones(4, dtype=torch.float16)}


class Touch:
    """Creates a file as soon as someone unpickles it."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return exec, (f"open({self.path!r}, 'w').close()",)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in expected.items()
    )


@pytest.mark.parametrize("name", ["a.safetensors", "a.CKPT", "a.pt", "a.bin"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_reads_tensors(tmp_path, name, wrapped):
    path = tmp_path / name
    if name.endswith("safetensors"):
        save_file(TENSORS, path)
    else:
        torch.save({"state_dict": TENSORS, "epoch": 3} if wrapped else TENSORS, path)
    file = open_weights(path)
    assert file.shapes == {"first.weight": (2, 3), "second.bias": (4,)}
    assert_same(file.read(), TENSORS)
    assert_same(file.read("second."), {"second.bias": TENSORS["second.bias"]})
    assert file.shapes_under("first.") == {"weight": (2, 3)}


def test_reads_pickles_of_before_pytorch_1_6(tmp_path):
    torch.save(TENSORS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert_same(open_weights(tmp_path / "old.pt").read(), TENSORS)


def test_reads_the_makers_own_ckpt_which_names_a_class_of_lightning(tmp_path, monkeypatch):
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = types.ModuleType(name)
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": name, "__qualname__": "ModelCheckpoint"})
    with monkeypatch.context() as patch:
        for part in ("pytorch_lightning", "pytorch_lightning.callbacks"):
            patch.setitem(sys.modules, part, types.ModuleType(part))
        patch.setitem(sys.modules, name, module)
        torch.save({"state_dict": TENSORS, "callbacks": {module.ModelCheckpoint: {"best": 1}}}, tmp_path / "sd.ckpt")
    assert_same(open_weights(tmp_path / "sd.ckpt").read(), TENSORS)
    assert name not in sys.modules


@pytest.mark.parametrize("how", ["beside the tensors", "instead of tensors", "in the old format"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, how):
    path, trace = tmp_path / "model.ckpt", tmp_path / "it ran"
    content = {"state_dict": TENSORS, "callback": Touch(trace)} if how == "beside the tensors" else Touch(trace)
    torch.save(content, path, _use_new_zipfile_serialization=how != "in the old format")
    with pytest.raises(CheckpointError, match=r"wants to run (\w+\.)?exec; it was not read.*safetensors") as caught:
        open_weights(path)
    assert "safetensors.torch.save_file" in caught.value.mend
    assert not trace.exists()
    # The trap itself works: whoever reads the file carelessly does run it.
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_a_plain_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    path, trace = tmp_path / "model.bin", tmp_path / "it ran"
    path.write_bytes(pickle.dumps({"state_dict": Touch(trace)}))
    with pytest.raises(CheckpointError, match="cannot be read"), pytest.warns(UserWarning, match="pickle protocol"):
        open_weights(path)
    assert not trace.exists()


def test_pickles_are_refused_where_pytorch_is_too_old_to_read_them_safely(tmp_path, monkeypatch):
    torch.save(TENSORS, tmp_path / "a.pt")
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.5.1"))
    with pytest.raises(CheckpointError, match=r"PyTorch 2\.5\.1.*PyTorch 2\.6"):
        open_weights(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
@pytest.mark.parametrize("left", [0, 0.3, 0.9])
def test_a_file_cut_short_is_refused_with_its_size(tmp_path, name, left):
    path = tmp_path / name
    save_file(TENSORS, path) if name.endswith("safetensors") else torch.save(TENSORS, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])
    with pytest.raises(CheckpointError, match=rf"of {int(len(content) * left)} bytes, which cannot be read"):
        open_weights(path)


@pytest.mark.parametrize("content", [b"this is no model" * 9, b"\x00" * 500, b"\x80\x02}q\x00."])
@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
def test_other_content_under_a_models_name_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"which cannot be read|without named tensors"):
        open_weights(tmp_path / name)


@pytest.mark.parametrize(
    "content, found",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html>", "a web"),
    ],
)
def test_what_a_failed_download_leaves_is_named(tmp_path, content, found):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{found}.*of {len(content)} bytes"):
        open_weights(tmp_path / "a.safetensors")


def test_a_file_that_is_damaged_after_it_was_opened_is_refused_too(tmp_path):
    save_file(TENSORS, tmp_path / "a.safetensors")
    file = open_weights(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="of 5 bytes, which cannot be read"):
        file.read()


def test_no_such_file_and_no_such_kind(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone\.ckpt, no such file"):
        open_weights(tmp_path / "gone.ckpt")
    Path(tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"notes\.txt, a file of type \.txt.*\.safetensors"):
        open_weights(tmp_path / "notes.txt")
