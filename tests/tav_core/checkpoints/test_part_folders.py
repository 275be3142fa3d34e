"""Weights in one file or several, in every variant and both formats, as diffusers and transformers save them."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tav_core.checkpoints.control_nets import load_controlnet
from tav_core.checkpoints.load import load_checkpoint
from tav_core.checkpoints.part_folders import open_folder
from tav_core.errors import CheckpointError

SMALL = "300KB"
PARTS = ("unet", "vae", "text_encoder")
TENSORS = {"a": torch.arange(4.0), "b": torch.ones(2, 3)}


def assert_same_weights(checkpoint, parts):
    for part in PARTS:
        expected, got = getattr(parts, part).state_dict(), getattr(checkpoint, part).state_dict()
        assert expected.keys() == got.keys()
        assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    "how",
    [
        {"max_shard_size": SMALL},
        {"max_shard_size": SMALL, "safe_serialization": False},
        {"max_shard_size": SMALL, "variant": "fp16"},
        {"max_shard_size": SMALL, "variant": "fp16", "safe_serialization": False},
        {"variant": "bf16"},
        {"variant": "fp16"},
        {"variant": "non_ema"},
        {"variant": "ema", "safe_serialization": False},
    ],
    ids=str,
)
def test_a_folder_as_diffusers_saves_it_gives_its_weights(sd1, write_folder, tmp_path, how):
    assert_same_weights(load_checkpoint(write_folder(sd1, tmp_path / "model", **how)), sd1)


@pytest.mark.usefixtures("offline")
def test_a_variant_in_some_folders_only(sd1, write_folder, tmp_path):
    folder = write_folder(sd1, tmp_path / "model")
    stem = folder / "unet" / "diffusion_pytorch_model"
    stem.with_suffix(".safetensors").rename(stem.with_suffix(".bf16.safetensors"))
    shutil.rmtree(folder / "vae")
    sd1.vae.save_pretrained(folder / "vae", max_shard_size=SMALL, variant="fp16")
    assert_same_weights(load_checkpoint(folder), sd1)


@pytest.mark.usefixtures("offline")
def test_shards_without_their_index_are_read_by_their_numbers(sd1, write_folder, tmp_path):
    folder = write_folder(sd1, tmp_path / "model", max_shard_size=SMALL)
    for index in folder.glob("*/*.index.json"):
        index.unlink()
    assert_same_weights(load_checkpoint(folder), sd1)


def test_a_sharded_controlnet(tmp_path):
    from diffusers import ControlNetModel

    net = ControlNetModel(
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        cross_attention_dim=32,
        layers_per_block=1,
    )
    net.save_pretrained(tmp_path / "net", max_shard_size=SMALL)
    assert len(list((tmp_path / "net").glob("*.safetensors"))) > 1
    loaded = load_controlnet(tmp_path / "net").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("variant", [None, "fp16"])
def test_missing_shards_are_named(sd1, tmp_path, index, variant):
    sd1.unet.save_pretrained(tmp_path, max_shard_size=SMALL, variant=variant)
    count = len(list(tmp_path.glob("*.safetensors")))
    next(tmp_path.glob("*-00002-of-*")).unlink()
    if not index:
        next(tmp_path.glob("*.index*")).unlink()
    with pytest.raises(CheckpointError, match=rf"without diffusion\S*-00002-of-\S*, 1 of the {count} files"):
        open_folder(tmp_path)


@pytest.mark.parametrize("index", ["model.safetensors.index.fp16.json", "model.safetensors.fp16.index.json"])
def test_the_index_of_a_variant_stands_beside_another(tmp_path, index):
    names = {key: f"model-{n:05d}-of-00002.fp16.safetensors" for n, key in enumerate(TENSORS, start=1)}
    for key, name in names.items():
        save_file({key: TENSORS[key] * 2}, tmp_path / name)
    (tmp_path / index).write_text(json.dumps({"weight_map": names}))
    assert torch.equal(open_folder(tmp_path).read()["a"], TENSORS["a"] * 2)
    save_file(TENSORS, tmp_path / "model-00001-of-00001.safetensors")
    whole = dict.fromkeys(TENSORS, "model-00001-of-00001.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": whole}))
    assert torch.equal(open_folder(tmp_path).read()["a"], TENSORS["a"])


def test_two_sets_of_shards_in_one_folder_are_not_mixed(tmp_path):
    """As after saving again with shards of another size."""
    save_file(TENSORS, tmp_path / "model-00003-of-00003.safetensors")
    for number, (key, tensor) in enumerate(TENSORS.items(), start=1):
        save_file({key: tensor * 2}, tmp_path / f"model-{number:05d}-of-00002.safetensors")
    assert torch.equal(open_folder(tmp_path).read()["a"], TENSORS["a"] * 2)


@pytest.mark.parametrize(
    "names, first",
    [
        (["model.fp16.safetensors", "model.safetensors"], "model.safetensors"),
        (["model.fp16.safetensors", "model.bf16.safetensors"], "model.fp16.safetensors"),
        (["pytorch_model.bin", "model.fp16.safetensors"], "model.fp16.safetensors"),
        (["model.non_ema.safetensors", "pytorch_model.bin"], "pytorch_model.bin"),
        (["model.a_variant.safetensors", "model.non_ema.safetensors"], "model.a_variant.safetensors"),
    ],
)
def test_full_precision_and_averaged_weights_come_first(tmp_path, names, first):
    for number, name in enumerate(names):
        tensors = {"number": torch.tensor([number])}
        (torch.save if name.endswith("bin") else save_file)(tensors, tmp_path / name)
    assert open_folder(tmp_path).read()["number"].item() == names.index(first)


def test_a_whole_file_serves_where_shards_are_missing(tmp_path):
    save_file(TENSORS, tmp_path / "model-00001-of-00002.safetensors")
    save_file(TENSORS, tmp_path / "model.fp16.safetensors")
    assert open_folder(tmp_path).path == tmp_path / "model.fp16.safetensors"


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[]",
        '{"weight_map": {}}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": "../secret.safetensors"}}',
        '{"weight_map": {"a": ".."}}',
        "<html>",
    ],
)
def test_an_index_that_is_none_or_leads_out_of_its_folder(tmp_path, content):
    (tmp_path / "unet").mkdir()
    save_file(TENSORS, tmp_path / "secret.safetensors")
    (tmp_path / "unet" / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"index\.json|without \.\."):
        open_folder(tmp_path / "unet")


def test_shards_are_read_by_prefix_and_keep_their_values(tmp_path):
    save_file({"one.a": TENSORS["a"]}, tmp_path / "x-1.safetensors")
    save_file({"two.b": TENSORS["b"]}, tmp_path / "x-2.safetensors")
    index = {"weight_map": {"one.a": "x-1.safetensors", "two.b": "x-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    file = open_folder(tmp_path)
    assert file.shapes == {"one.a": (4,), "two.b": (2, 3)}
    assert file.read("two.").keys() == {"two.b"}
    assert torch.equal(file.read()["one.a"], load_file(tmp_path / "x-1.safetensors")["one.a"])


@pytest.mark.parametrize(
    "name, mend",
    [
        ("my_model.safetensors", r"rename it to diffusion_pytorch_model\.safetensors"),
        ("model.msgpack", "Get the complete folder"),
    ],
)
def test_a_folder_without_weights_says_what_it_holds(tmp_path, name, mend):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=rf"it holds {name}.*{mend}"):
        open_folder(tmp_path)
    with pytest.raises(CheckpointError, match="without weights"):
        open_folder(tmp_path / "no such folder")
