"""Files are read by their content, and what is no file of weights is named, whatever it is called."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.file_kinds import PICKLE, SAFETENSORS, find_kind
from tav_core.checkpoints.weight_files import open_weights
from tav_core.cli.info import describe
from tav_core.errors import CheckpointError

TENSORS = {"first.weight": torch.arange(6.0).reshape(2, 3), "second.bias": torch.ones(4, dtype=torch.float16)}
NAMES = ["a.safetensors", "a.SAFETENSORS", "a.ckpt", "A.CKPT", "a.pt", "a.bin", "a", "a.safetensors (1)", "a.txt"]


def safetensors(path):
    save_file(TENSORS, path)


def torch_zip(path):
    torch.save({"state_dict": TENSORS}, path)


def old_pickle(path):
    torch.save(TENSORS, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [safetensors, torch_zip, old_pickle])
@pytest.mark.parametrize("name", NAMES)
def test_weights_are_read_whatever_their_file_is_called(tmp_path, name, write):
    write(tmp_path / "written")
    path = (tmp_path / "written").rename(tmp_path / name)
    assert find_kind(path) == (SAFETENSORS if write is safetensors else PICKLE)
    read = open_weights(path).read()
    assert read.keys() == TENSORS.keys() and all(torch.equal(read[each], TENSORS[each]) for each in TENSORS)


class Touch:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return exec, (f"open({self.path!r}, 'w').close()",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_named_safetensors_runs_no_code(tmp_path, zipped):
    path, trace = tmp_path / "model.safetensors", tmp_path / "it ran"
    torch.save({"state_dict": TENSORS, "x": Touch(trace)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="wants to run"):
        open_weights(path)
    assert not trace.exists()


def in_a_zip(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def in_a_tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("model.ckpt"))
    return buffer.getvalue()


OTHERS = {
    "a web page": b"\r\n<!DOCTYPE html><html>" + b"x" * 2000,
    "a web page with a byte order mark": b"\xef\xbb\xbf<html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
    "a server's answer in XML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    'a text that begins with \'{"error":"Unauthorized"}\'': b'{"error":"Unauthorized"}',
    "a text that begins with 'Entry not found'": b"Entry not found",
    "a text that begins with 'Invalid username": b"Invalid username or password",
    "a GGUF file": b"GGUF\x03\x00\x00\x00" + bytes(600),
    "a ZIP archive with 'model/unet": in_a_zip(model__unet="x" * 9),
    "an empty ZIP archive": in_a_zip(),
    "a TorchScript program": in_a_zip(a__constants="", **{"a__constants.pkl": "", "a__data.pkl": ""}),
    "a TAR archive": in_a_tar(),
    "a gzip archive": b"\x1f\x8b\x08\x00" + bytes(600),
    "a 7z archive": b"7z\xbc\xaf\x27\x1c" + bytes(600),
    "a RAR archive": b"Rar!\x1a\x07\x01\x00" + bytes(600),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(600),
    "a PNG picture": b"\x89PNG\r\n\x1a\n" + bytes(600),
    "a JPEG picture": b"\xff\xd8\xff\xe0" + bytes(600),
    "a file that begins with zeros": bytes(5000),
}


@pytest.mark.parametrize("name", ["m.safetensors", "m.ckpt"])
@pytest.mark.parametrize("title", OTHERS)
def test_other_files_are_named(tmp_path, title, name):
    content = OTHERS[title]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"of {len(content)} bytes, which cannot be read as weights") as caught:
        open_weights(tmp_path / name)
    assert title.removesuffix(" with a byte order mark") in caught.value.got and name in caught.value.got


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("m.gguf", b"GGUF\x03\x00\x00\x00" + bytes(99), "a GGUF file"),
        ("m.safetensors.crdownload", b"\xff\x12" * 300, "has not ended"),
        ("m.ckpt.part", b"\xff\x12" * 300, "has not ended"),
        ("model_index.json", b"{}", "the folder that it is in"),
        ("notes.txt", b"hello", "a file of type .txt"),
        ("m.onnx", b"\x08\x07\x12\x07", "a file of type .onnx"),
    ],
)
def test_other_types_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        open_weights(tmp_path / name)
    assert words in str(caught.value)


@pytest.mark.parametrize("write", [safetensors, torch_zip, old_pickle])
@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_half_a_download_is_called_incomplete_under_any_name(tmp_path, name, write, share):
    write(tmp_path / "written")
    content = (tmp_path / "written").read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=r"cannot be read.*(incomplete|stopped early)"):
        open_weights(tmp_path / name)


@pytest.mark.parametrize(
    "content, title",
    [
        ({"image_proj": {"x": torch.ones(2)}, "ip_adapter": {}}, "an IP-Adapter"),
        ({"state": {}, "param_groups": [{"lr": 1e-4}]}, "the state of an optimizer"),
        ({"string_to_token": {"*": 265}, "string_to_param": {"*": torch.ones(2, 4)}}, "a textual inversion embedding"),
    ],
)
def test_other_pickles_are_named(tmp_path, content, title):
    torch.save(content, tmp_path / "a.bin")
    with pytest.raises(CheckpointError, match=title):
        open_weights(tmp_path / "a.bin")


def test_info_of_a_pickle_named_safetensors_says_what_it_lacks(tmp_path):
    torch_zip(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"weights of a model that is not known, beginning with 'first\.weight'"):
        describe((tmp_path / "a.pt").rename(tmp_path / "a.safetensors"))
