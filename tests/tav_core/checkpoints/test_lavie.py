"""tav_core/checkpoints/{lavie,lavie_configs}.py: the published key lists, and files as users have them."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from tav_core.checkpoints.lavie import KINDS, convert_lavie, load_lavie, own_names
from tav_core.checkpoints.lavie_configs import find_lavie_kind, lavie_unet_config
from tav_core.checkpoints.load import load_checkpoint
from tav_core.errors import CheckpointError, ConfigError
from tav_core.models.positions import rotary_rates
from tests.tav_core.lavie_models import (
    FOLDER,
    golden,
    golden_config,
    golden_meta,
    golden_unet,
    golden_weights,
    real_shapes,
)

# What shapes do not show of the goldens' UNets, which are smaller than any that was published.
HIDDEN = {
    "base": {"norm_num_groups": 8},
    "interpolation": {"norm_num_groups": 8, "attention_head_dim": [2, 4]},
    "super_resolution": {"norm_num_groups": 8},
}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def published(kind, tmp_path):
    """A file as published: a pickle of the original's names."""
    path = tmp_path / KINDS[kind].file
    torch.save(golden_weights(kind), path)
    return path


def load(path, kind):
    return load_lavie(path, kind, unet_config=HIDDEN[kind])


class TestPublishedKeys:
    def test_every_key_finds_its_tensor_and_none_is_left(self, kind):
        shapes = real_shapes(kind)
        assert find_lavie_kind(shapes) == kind
        given = {
            name: rotary_rates(16) if name.endswith("rotary_emb.freqs") else torch.empty(shape, device="meta")
            for name, shape in shapes.items()
        }
        with torch.device("meta"):
            unet = KINDS[kind].inflate(UNet2DConditionModel.from_config(lavie_unet_config(shapes)))
        expected = {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}
        assert {name: tuple(tensor.shape) for name, tensor in own_names(given, FOLDER).items()} == expected

    def test_the_config_is_the_published_one(self, kind):
        config = lavie_unet_config(real_shapes(kind))
        assert config["block_out_channels"] == ([256, 512, 512, 1024] if "super" in kind else [320, 640, 1280, 1280])
        assert config["attention_head_dim"] == [8] * 4
        assert config["layers_per_block"] == 2


class TestFiles:
    @pytest.mark.parametrize("around", [None, "ema", "state_dict", "model"])
    def test_tensors_are_found_under_what_trainers_put_around_them(self, kind, tmp_path, around):
        weights = golden_weights(kind)
        torch.save(weights if around is None else {around: weights, "step": 3}, tmp_path / "file.pt")
        loaded = load(tmp_path / "file.pt", kind)
        expected = golden_unet(kind).state_dict()
        assert loaded.unet.state_dict().keys() == expected.keys()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.unet.state_dict().items())

    @pytest.mark.parametrize("inside", ["", "unet"])
    def test_a_folder_may_hold_it(self, kind, tmp_path, inside):
        """Trainers keep LaVie as a diffusers folder (jianzongwu/MotionBooth#9)."""
        (tmp_path / "lavie" / inside).mkdir(parents=True, exist_ok=True)
        torch.save(golden_weights(kind), tmp_path / "lavie" / inside / "diffusion_pytorch_model.bin")
        assert load(tmp_path / "lavie", kind).kind == kind

    def test_several_gpus_leave_their_prefix(self, kind, tmp_path):
        torch.save({f"module.{name}": tensor for name, tensor in golden_weights(kind).items()}, tmp_path / "ddp.pt")
        assert load(tmp_path / "ddp.pt", kind).kind == kind

    def test_the_constants_of_rotary_positions_may_be_missing(self, kind, tmp_path):
        weights = {name: t for name, t in golden_weights(kind).items() if "rotary_emb" not in name}
        torch.save(weights, tmp_path / "file.pt")
        assert load(tmp_path / "file.pt", kind).kind == kind

    def test_other_constants_are_refused(self, tmp_path):
        weights = {name: t * 2 if "rotary_emb" in name else t for name, t in golden_weights("base").items()}
        torch.save(weights, tmp_path / "file.pt")
        with pytest.raises(CheckpointError, match="other rotary positions"):
            load(tmp_path / "file.pt", "base")

    def test_a_converted_file_is_the_same_model(self, kind, published, tmp_path):
        assert convert_lavie(published, tmp_path / "out.safetensors") == kind
        converted, expected = load(tmp_path / "out.safetensors", kind), golden_unet(kind).state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in converted.unet.state_dict().items())

    def test_conversion_can_halve_a_file(self, published, tmp_path):
        convert_lavie(published, tmp_path / "out.safetensors", dtype=torch.float16)
        assert {tensor.dtype for tensor in load_file(tmp_path / "out.safetensors").values()} == {torch.float16}

    def test_the_schedule_is_truly_linear(self, kind, published, close):
        alphas = torch.tensor(load(published, kind).schedule.alphas)
        close(alphas, golden("base", "schedule")["alphas_cumprod"], 1e-6)
        assert load(published, kind).schedule.prediction_type == (
            "v_prediction" if kind == "super_resolution" else "epsilon"
        )

    def test_long_distances_share_a_bias_unless_asked_otherwise(self, tmp_path):
        torch.save(golden_weights("base"), tmp_path / "file.pt")
        for limit, longest in ((True, 15), (False, None)):
            unet = load_lavie(tmp_path / "file.pt", "base", unet_config=HIDDEN["base"], limit=limit).unet
            assert {block.attn_temp.time_rel_pos_bias.longest for block in unet.blocks().values()} == {longest}


class TestRefusals:
    def test_another_of_the_three_is_named(self, kind, published):
        for wanted in KINDS.keys() - {kind}:
            with pytest.raises(CheckpointError, match=KINDS[kind].file) as caught:
                load_lavie(published, wanted)
            assert KINDS[wanted].file in str(caught.value)

    def test_a_file_cut_short_is_refused(self, kind, published):
        published.write_bytes(published.read_bytes()[:-5000])
        with pytest.raises(CheckpointError, match="get the file again"):
            load(published, kind)

    def test_a_file_that_lacks_tensors_is_refused(self, kind, tmp_path):
        weights = dict(list(golden_weights(kind).items())[:-1])
        torch.save(weights, tmp_path / "file.pt")
        with pytest.raises(CheckpointError, match=r"missing|without"):
            load(tmp_path / "file.pt", kind)

    def test_a_motion_module_of_animatediff_is_refused(self, kind, tmp_path):
        name = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.to_q.weight"
        save_file({name: torch.zeros(4, 4)}, tmp_path / "mm_sd_v15.safetensors")
        with pytest.raises(CheckpointError, match="video model"):
            load_lavie(tmp_path / "mm_sd_v15.safetensors", kind)

    def test_a_video_unet_of_tune_a_video_is_no_interpolation(self, tmp_path):
        weights = golden_weights("interpolation")
        weights["conv_in.weight"] = weights["conv_in.weight"][:, :4].clone()
        torch.save(weights, tmp_path / "unet.bin")
        with pytest.raises(CheckpointError, match="Tune-A-Video"):
            load_lavie(tmp_path / "unet.bin", "interpolation")

    @pytest.mark.parametrize("lavie", ["base", "super_resolution"])
    def test_a_checkpoint_loader_says_what_it_was_given(self, lavie, tmp_path):
        torch.save(golden_weights(lavie), tmp_path / "lavie.pt")
        with pytest.raises(CheckpointError, match="LaVie"):
            load_checkpoint(tmp_path / "lavie.pt")

    def test_an_unknown_kind_is_refused(self, tmp_path):
        with pytest.raises(ConfigError, match="upscaler"):
            load_lavie(tmp_path, "upscaler")

    def test_no_conversion_over_the_published_file(self, published, kind):
        before = published.read_bytes()
        with pytest.raises(ConfigError, match=r"\.safetensors"):
            convert_lavie(published, published)
        assert published.read_bytes() == before

    def test_no_conversion_of_another_model(self, tmp_path):
        save_file({"a.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
        with pytest.raises(CheckpointError, match="one of LaVie's models"):
            convert_lavie(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
        assert not (tmp_path / "b.safetensors").exists()


def test_the_goldens_config_is_read_from_shapes(kind):
    config = lavie_unet_config({name: tuple(t.shape) for name, t in golden_weights(kind).items()})
    for name, value in {**golden_config(kind), **HIDDEN[kind]}.items():
        if name not in HIDDEN[kind]:
            assert config[name] == value, name
    assert golden_meta(kind)["unet_config"]["block_out_channels"] == config["block_out_channels"]


class TestScale:
    def test_the_published_factor_unless_the_file_says_another(self, kind, tmp_path):
        own = {"base": 0.18215, "interpolation": 0.18215, "super_resolution": 0.08333}[kind]
        for about, expected in ((None, own), ({"scaling_factor": "0.5"}, 0.5)):
            save_file(golden_weights(kind), tmp_path / "it.safetensors", about)
            assert load(tmp_path / "it.safetensors", kind).scaling_factor == expected

    @pytest.mark.parametrize("said", ["", "many", "0", "-1", "nan", "inf"])
    def test_a_factor_that_is_no_positive_number_is_refused(self, said, tmp_path):
        save_file(golden_weights("base"), tmp_path / "it.safetensors", {"scaling_factor": said})
        with pytest.raises(CheckpointError, match="positive number"):
            load(tmp_path / "it.safetensors", "base")

    def test_converting_keeps_it(self, tmp_path):
        save_file(golden_weights("base"), tmp_path / "it.safetensors", {"scaling_factor": "0.5"})
        convert_lavie(tmp_path / "it.safetensors", tmp_path / "out.safetensors")
        assert load(tmp_path / "out.safetensors", "base").scaling_factor == 0.5
