"""tav_core/models/lavie/inflate.py against LaVie itself: blocks, UNets, and videos together with still pictures."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from diffusers import UNet2DConditionModel

from tav_core.errors import CheckpointError, ConfigError
from tav_core.models.conditioning import Conditioning
from tav_core.models.lavie.inflate import TRAINED_DISTANCE, inflate_base, inflate_interpolation
from tav_core.models.lavie.upscaler import UpscalerUNet
from tav_core.models.unet import InflatedUNet
from tests.tav_core.lavie_models import forwards, golden, golden_config, golden_unet, small_lavie, split_name

BLOCKS = {"mid": "mid_block", "down": "down_blocks.0"}


def block_of(unet, place):
    return unet.get_submodule(f"{BLOCKS[place]}.attentions.0.transformer_blocks.0")


@pytest.fixture(scope="module")
def base():
    return golden_unet("base")


@pytest.mark.parametrize("kind", ["base", "interpolation"])
@torch.no_grad()
def test_forward_matches_the_original(kind, close):
    tensors = golden(kind, "forward")
    for name in forwards(kind):
        start, timestep = split_name(name)
        got = golden_unet(kind)(tensors[f"{start}.in"], timestep, tensors["ctx.cond"])
        close(got, tensors[name], 5e-5, name)


@torch.no_grad()
def test_a_batch_of_two_timesteps_matches_the_original(base, close):
    tensors = golden("base", "forward")
    context = torch.cat([tensors["ctx.uncond"], tensors["ctx.cond"]])
    got = base(tensors["batch2.in"], torch.tensor([37, 500]), context)
    close(got, tensors["batch2.out"], 5e-5)


@pytest.mark.parametrize(("kind", "frames"), [("base", (2, 5)), ("interpolation", (1, 2, 5))])
@pytest.mark.parametrize("place", BLOCKS)
@torch.no_grad()
def test_a_block_matches_the_original(kind, frames, place, close):
    tensors, unet = golden(kind, "block"), golden_unet(kind)
    block = block_of(unet, place)
    for num_frames in frames:
        unet.frames.value, unet.frames.images = num_frames, 0
        name = f"{place}.f{num_frames}"
        got = block(tensors[f"{name}.in"], encoder_hidden_states=tensors[f"{name}.ctx"])
        close(got, tensors[f"{name}.out"], 5e-6, name)


@pytest.mark.parametrize("place", BLOCKS)
@torch.no_grad()
def test_what_is_added_before_the_feed_forward_matches_the_original(base, place, close):
    tensors, block = golden("base", "block"), block_of(base, place)
    base.frames.value, base.frames.images = 5, 0
    before = tensors[f"{place}.f5.after_attn2_pixels_first"]
    # (b n) f d, for two videos.
    stacked = before.unflatten(0, (2, -1)).transpose(1, 2)
    after = (stacked + block.attend_over_time(stacked)).flatten(0, 1)
    close(after, tensors[f"{place}.f5.after_temporal"], 5e-6)


@pytest.mark.parametrize("kind", ["base", "interpolation"])
@torch.no_grad()
def test_small_inputs_show_that_each_norm_has_its_own_epsilon(kind, close):
    tensors, unet = golden(kind, "block"), golden_unet(kind)
    unet.frames.value, unet.frames.images = 3, 0
    folded = tensors["eps.x"][0].transpose(0, 1)
    (out,) = unet.mid_block.attentions[0](
        folded, encoder_hidden_states=tensors["eps.ctx"].expand(3, -1, -1), return_dict=False
    )
    close(out.transpose(0, 1)[None], tensors["eps.transformer"], 5e-6)
    out = unet.mid_block.resnets[0](folded, tensors["eps.emb"].expand(3, -1))
    close(out.transpose(0, 1)[None], tensors["eps.resnet"], 5e-6)


class TestStillPictures:
    @torch.no_grad()
    def test_videos_with_pictures_match_the_original(self, base, close):
        tensors = golden("base", "joint")
        texts = tensors["unet.ctx"]
        context = Conditioning(text=texts[:, 0], image_text=texts[:, 1:])
        got = base(tensors["unet.in"], torch.tensor([37, 500]), context)
        close(got, tensors["unet.out"], 5e-5)

    @torch.no_grad()
    def test_a_block_with_pictures_matches_the_original(self, base, close):
        tensors = golden("base", "joint")
        base.frames.value, base.frames.images = 6, 2
        got = block_of(base, "mid")(tensors["block.in"], encoder_hidden_states=tensors["block.ctx"])
        close(got, tensors["block.out"], 5e-6)

    @torch.no_grad()
    def test_temporal_attention_adds_nothing_to_pictures(self, base):
        base.frames.value, base.frames.images = 6, 2
        added = block_of(base, "mid").attend_over_time(torch.randn(1, 6, 4, 80))
        assert (added[:, :4] != 0).all() and (added[:, 4:] == 0).all()

    def test_pictures_need_a_frame_of_a_video_before_them(self, base):
        context = Conditioning(text=torch.zeros(1, 7, 32), image_text=torch.zeros(1, 3, 7, 32))
        with pytest.raises(ConfigError, match="3 still pictures in 3 frames"):
            base(torch.zeros(1, 4, 3, 8, 8), 1, context)

    def test_pictures_are_refused_where_frames_attend_to_others(self):
        unet = InflatedUNet.from_2d(UNet2DConditionModel.from_config(golden_config("base")))
        context = Conditioning(text=torch.zeros(1, 7, 32), image_text=torch.zeros(1, 1, 7, 32))
        with pytest.raises(ConfigError, match="sparse_causal"):
            unet(torch.zeros(1, 4, 3, 8, 8), 1, context)


@torch.no_grad()
def test_a_saved_folder_gives_back_the_limit(tmp_path):
    unet = copy.deepcopy(golden_unet("base"))
    unet.limit_distance(TRAINED_DISTANCE)
    unet.save_pretrained(tmp_path)
    again = InflatedUNet.from_pretrained(tmp_path).eval()
    inputs = torch.randn(1, 4, 20, 4, 4), 37, golden("base", "forward")["ctx.cond"]
    assert torch.equal(again(*inputs), unet(*inputs))


def test_a_folder_of_the_upscaler_is_read_by_its_own_class(tmp_path):
    small_lavie("super_resolution").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="weights more"):
        InflatedUNet.from_pretrained(tmp_path)
    own = UpscalerUNet.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in small_lavie("super_resolution").state_dict().items())


@torch.no_grad()
def test_copies_and_pickles_compute_the_same(base):
    tensors = golden("base", "forward")
    inputs = tensors["f5.7x9.in"], 37, tensors["ctx.cond"]
    expected = base(*inputs)
    for twin in (copy.deepcopy(base), pickle.loads(pickle.dumps(base))):
        assert torch.equal(twin(*inputs), expected)


@torch.no_grad()
def test_a_saved_folder_gives_back_the_place_and_the_positions(base, tmp_path):
    tensors = golden("base", "forward")
    base.save_pretrained(tmp_path)
    again = InflatedUNet.from_pretrained(tmp_path).eval()
    inputs = tensors["f5.7x9.in"], 37, tensors["ctx.cond"]
    assert torch.equal(again(*inputs), base(*inputs))


@pytest.mark.parametrize("positions", ["none", "rotary", "lavie_rotary", "lavie"])
@pytest.mark.parametrize("place", ["end", "before_feed_forward"])
@torch.no_grad()
def test_an_untrained_video_unet_is_the_2d_one(positions, place, close):
    unet = UNet2DConditionModel.from_config(golden_config("base")).eval()
    video = InflatedUNet.from_2d(unet, attention="spatial", positions=positions, place=place)
    latents, text = torch.randn(1, 4, 3, 8, 8), torch.randn(1, 7, 32)
    expected = torch.stack([unet(frame, 37, text).sample for frame in latents.unbind(2)], dim=2)
    close(video(latents, 37, text), expected, 1e-5)


@pytest.mark.parametrize(("option", "value"), [("place", "start"), ("positions", "absolute")])
def test_unknown_options_are_refused(option, value):
    with pytest.raises(ConfigError, match=value):
        InflatedUNet.from_2d(UNet2DConditionModel.from_config(golden_config("base")), **{option: value})


def test_positions_that_need_a_table_are_refused_without_one():
    unet = inflate_base(UNet2DConditionModel.from_config(golden_config("base")), positions="lavie_rotary")
    with pytest.raises(ConfigError, match="without a bias per distance"):
        unet.set_modes(attention="spatial", group_norm="clip", positions="lavie")


@torch.no_grad()
def test_a_limit_changes_only_clips_that_are_longer():
    unet = copy.deepcopy(golden_unet("base"))
    text = golden("base", "forward")["ctx.cond"]
    short, long = torch.randn(1, 4, 16, 4, 4), torch.randn(1, 4, 20, 4, 4)
    before = unet(short, 37, text), unet(long, 37, text)
    unet.limit_distance(TRAINED_DISTANCE)
    assert torch.equal(unet(short, 37, text), before[0])
    assert not torch.allclose(unet(long, 37, text), before[1])
    unet.limit_distance(None)
    assert torch.equal(unet(long, 37, text), before[1])


@torch.no_grad()
def test_a_gradient_reaches_every_temporal_weight():
    config = {**golden_config("interpolation"), "in_channels": 8}
    for unet in (
        inflate_base(UNet2DConditionModel.from_config(golden_config("base"))),
        inflate_interpolation(UNet2DConditionModel.from_config(config)),
    ):
        for name, parameter in unet.named_parameters():
            if "to_out" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        with torch.enable_grad():
            channels = unet.config.in_channels
            unet(torch.randn(1, channels, 3, 8, 8), 37, torch.randn(1, 7, 32)).square().mean().backward()
        for name, tensor in unet.named_parameters():
            if "_temp." in name:
                assert tensor.grad is not None and tensor.grad.abs().sum() > 0, name
