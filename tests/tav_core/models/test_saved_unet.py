"""A video UNet written by save_pretrained and read by from_pretrained: the same weights, modes and results."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from tav_core.errors import CheckpointError, ConfigError
from tav_core.models.saved_unet import MODES
from tav_core.models.unet import InflatedUNet

pytestmark = pytest.mark.usefixtures("offline")
WEIGHTS = "diffusion_pytorch_model.safetensors"
OTHER_MODES = {"attention": "sparse_causal_k", "attention_k": 3, "group_norm": "frame", "positions": "rotary"}


@pytest.fixture
def latents():
    return torch.randn((1, 4, 5, 8, 8), generator=torch.Generator().manual_seed(0))


def assert_same(got, expected, latents, context):
    assert type(got) is InflatedUNet
    assert got.modes == expected.modes
    own, wanted = got.state_dict(), expected.state_dict()
    assert own.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert own[name].dtype == tensor.dtype, name
        assert torch.equal(own[name], tensor), name
    with torch.no_grad():
        assert torch.equal(got(latents, 481, context), expected(latents, 481, context))


@pytest.mark.parametrize(
    "how",
    [{}, {"safe_serialization": False}, {"variant": "fp16"}, {"max_shard_size": "100KB"}],
    ids=["safetensors", "pickle", "variant", "shards"],
)
def test_what_was_saved_comes_back(inflated, latents, context, tmp_path, how):
    inflated.save_pretrained(tmp_path, **how)
    if "max_shard_size" in how:
        assert len(list(tmp_path.glob("*-of-*.safetensors"))) > 1
    read = InflatedUNet.from_pretrained(tmp_path, variant=how.get("variant"))
    assert_same(read, inflated, latents, context)
    assert not read.training


def test_half_precision_comes_back(inflated, tmp_path):
    half = inflated.half()
    half.save_pretrained(tmp_path)
    read = InflatedUNet.from_pretrained(tmp_path, torch_dtype=torch.float16)
    assert {tensor.dtype for tensor in read.state_dict().values()} == {torch.float16}
    assert all(torch.equal(tensor, half.state_dict()[name]) for name, tensor in read.state_dict().items())
    assert torch.get_default_dtype() == torch.float32


def test_every_mode_comes_back(unet_2d, goldens, latents, context, tmp_path):
    unet = InflatedUNet.from_2d(unet_2d, **OTHER_MODES)
    unet.load_temporal(goldens("attn_temp"))
    assert set(unet.modes) == set(MODES)
    unet.save_pretrained(tmp_path)
    assert_same(InflatedUNet.from_pretrained(tmp_path), unet, latents, context)


def test_modes_set_after_inflation_come_back(inflated, latents, context, tmp_path):
    inflated.set_modes(**OTHER_MODES)
    inflated.save_pretrained(tmp_path)
    assert_same(InflatedUNet.from_pretrained(tmp_path), inflated, latents, context)


def test_a_saved_unet_is_saved_again_as_the_same_files(inflated, tmp_path):
    inflated.save_pretrained(tmp_path / "one")
    InflatedUNet.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two")
    first, second = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("one", "two"))
    assert first == {name: value for name, value in second.items() if name != "_name_or_path"}
    assert (tmp_path / "one" / WEIGHTS).read_bytes() == (tmp_path / "two" / WEIGHTS).read_bytes()


def test_a_subfolder_is_read_and_the_account_of_it_is_clean(inflated, latents, context, tmp_path):
    inflated.save_pretrained(tmp_path / "unet")
    read, info = InflatedUNet.from_pretrained(tmp_path, subfolder="unet", output_loading_info=True)
    assert_same(read, inflated, latents, context)
    assert not any(info.values())


def test_another_backend_is_chosen_where_the_saved_one_is_missing(inflated, latents, context, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    inflated.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["inflation"]["backend"] = "xformers"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"xformers.*Use 'sdpa'"):
        InflatedUNet.from_pretrained(tmp_path)
    assert_same(InflatedUNet.from_pretrained(tmp_path, backend="sdpa"), inflated, latents, context)


def test_reading_without_building_weights_first(inflated, latents, context, tmp_path):
    pytest.importorskip("accelerate")
    inflated.save_pretrained(tmp_path)
    assert_same(InflatedUNet.from_pretrained(tmp_path, low_cpu_mem_usage=True), inflated, latents, context)


def test_the_2d_unet_keeps_its_config(unet_2d):
    before = dict(unet_2d.config)
    InflatedUNet.from_2d(unet_2d).set_modes(attention="full", group_norm="frame")
    assert dict(unet_2d.config) == before


def test_the_2d_part_is_read_by_diffusers(inflated, unet_2d, tmp_path):
    inflated.save_pretrained(tmp_path)
    read = UNet2DConditionModel.from_pretrained(tmp_path)
    assert all(torch.equal(read.state_dict()[name], tensor) for name, tensor in unet_2d.state_dict().items())


def test_a_2d_unet_is_not_read_as_a_video_unet(unet_2d, tmp_path):
    # diffusers would leave the temporal weights as they lay in memory, NaN among them.
    unet_2d.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"was not inflated.*from_2d"):
        InflatedUNet.from_pretrained(tmp_path)


@pytest.mark.parametrize("how", [{}, {"local_files_only": False}])
def test_a_model_hub_is_never_asked(how):
    with pytest.raises(CheckpointError, match=r"someone/video-unet.*Nothing is downloaded"):
        InflatedUNet.from_pretrained("someone/video-unet", **how)


def test_missing_weights_are_refused(inflated, tmp_path):
    inflated.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    name = next(name for name in tensors if name.endswith("attn_temp.to_q.weight"))
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, tmp_path / WEIGHTS)
    with pytest.raises(CheckpointError, match=rf"without 1 of its weights, such as {name}"):
        InflatedUNet.from_pretrained(tmp_path)


@pytest.mark.parametrize("modes", [{"attention": "full"}, "full", {**OTHER_MODES, "backend": "sdpa", "tiles": 2}])
def test_unknown_modes_are_refused(inflated, tmp_path, modes):
    inflated.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "inflation": modes}))
    with pytest.raises(CheckpointError, match=r"the modes .*positions"):
        InflatedUNet.from_pretrained(tmp_path)


def test_it_is_not_built_from_bare_values():
    with pytest.raises(ConfigError, match="from_2d"):
        InflatedUNet(block_out_channels=(32, 64))
