"""tav_core/models/unet.py against the original implementation and against the 2-D model."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch
from einops import repeat

from tav_core.errors import ConfigError, LatentsError, MotionError
from tav_core.models.inflation import ClipGroupNorm
from tav_core.models.unet import InflatedUNet

FORWARDS = [(f, "8x8", t) for f in (1, 2, 5, 8) for t in (0, 1, 481, 981, 999)]
FORWARDS += [(f, size, 481) for f in (2, 5) for size in ("8x12", "12x8", "7x10")]


@pytest.mark.parametrize(("num_frames", "size", "timestep"), FORWARDS)
@torch.no_grad()
def test_forward_matches_the_original(inflated, goldens, close, num_frames, size, timestep):
    tensors = goldens("unet")
    name = f"unet.f{num_frames}.{size}"
    got = inflated(tensors[f"{name}.in"], timestep, tensors["ctx.edit"])
    close(got, tensors[f"{name}.t{timestep}.out"], 2e-5)


@torch.no_grad()
def test_batch_of_two_timesteps_matches_the_original(inflated, goldens, meta, close):
    tensors = goldens("unet")
    context = torch.cat([tensors["ctx.empty"], tensors["ctx.edit"]])
    timesteps = torch.tensor(meta["unet_batch2_timesteps"])
    got = inflated(tensors["unet.batch2.f5.in"], timesteps, context)
    close(got, tensors["unet.batch2.f5.out"], 2e-5)


@pytest.mark.parametrize("num_frames", [1, 5])
@torch.no_grad()
def test_silenced_temporal_attention_matches_the_original(unet_2d, goldens, close, num_frames):
    tensors = goldens("unet")
    got = InflatedUNet.from_2d(unet_2d, group_norm="clip")(
        tensors[f"unet.f{num_frames}.8x8.in"], 481, tensors["ctx.edit"]
    )
    close(got, tensors[f"unet.f{num_frames}.8x8.t481.notemp.out"], 2e-5)


@pytest.mark.parametrize("num_frames", [1, 2, 5, 8])
class TestPieces:
    """Single modules of down_blocks.0, on a batch of two videos of 4x6 tokens."""

    @pytest.fixture(autouse=True)
    def _modules(self, inflated, goldens, num_frames):
        self.pieces = goldens("pieces")
        self.transformer = inflated.down_blocks[0].attentions[0]
        self.block = self.transformer.transformer_blocks[0]
        inflated.frames.value = self.frames = num_frames

    def piece(self, name):
        return self.pieces[name.replace("fF", f"f{self.frames}")]

    @torch.no_grad()
    def test_sparse_causal_attention(self, close):
        close(self.block.attn1(self.piece("sc_attn.fF.in")), self.piece("sc_attn.fF.out"), 1e-5)

    @torch.no_grad()
    def test_temporal_attention(self, close):
        close(self.block.attn_temp(self.piece("attn_temp.fF.in")), self.piece("attn_temp.fF.out"), 1e-5)

    @pytest.mark.parametrize("text", ["one per video", "one per frame"])
    @torch.no_grad()
    def test_block(self, close, text):
        context = self.piece("block.fF.ctx")
        if text == "one per frame":
            context = repeat(context, "b m d -> (b f) m d", f=self.frames)
        got = self.block(self.piece("sc_attn.fF.in"), encoder_hidden_states=context)
        close(got, self.piece("block.fF.out"), 1e-5)

    @torch.no_grad()
    def test_transformer(self, close):
        folded = self.piece("transformer3d.fF.in").transpose(1, 2).flatten(0, 1)
        got = self.transformer(folded, encoder_hidden_states=self.piece("block.fF.ctx"), return_dict=False)[0]
        close(got, self.piece("transformer3d.fF.out").transpose(1, 2).flatten(0, 1), 1e-5)

    @torch.no_grad()
    def test_resnet(self, inflated, close):
        folded = self.piece("transformer3d.fF.in").transpose(1, 2).flatten(0, 1)
        time = repeat(self.piece("resnet3d.fF.temb"), "b d -> (b f) d", f=self.frames)
        got = inflated.down_blocks[0].resnets[0](folded, time)
        close(got, self.piece("resnet3d.fF.out").transpose(1, 2).flatten(0, 1), 1e-5)


@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
@torch.no_grad()
def test_one_frame_untuned_is_the_2d_model_exactly(unet_2d, context, size):
    latents = torch.randn(2, 4, 1, *size)
    context = context.expand(2, -1, -1)
    assert torch.equal(
        InflatedUNet.from_2d(unet_2d)(latents, 481, context)[:, :, 0], unet_2d(latents[:, :, 0], 481, context).sample
    )


@torch.no_grad()
def test_frame_norm_and_spatial_attention_are_the_2d_model_frame_by_frame(unet_2d, context, close):
    latents = torch.randn(1, 4, 3, 8, 8)
    inflated = InflatedUNet.from_2d(unet_2d, attention="spatial", group_norm="frame")
    expected = unet_2d(latents[0].transpose(0, 1), 481, context.expand(3, -1, -1)).sample
    close(inflated(latents, 481, context)[0].transpose(0, 1), expected, 1e-6)


def test_inflation_leaves_the_2d_model_alone(unet_2d, context):
    before = copy.deepcopy(unet_2d)
    inflated = InflatedUNet.from_2d(unet_2d, seed=1)
    inflated.requires_grad_(True)
    inflated(torch.randn(1, 4, 3, 8, 8), 481, context).sum().backward()
    assert {n: type(m) for n, m in unet_2d.named_modules()} == {n: type(m) for n, m in before.named_modules()}
    assert all(torch.equal(p, q) for p, q in zip(unet_2d.parameters(), before.parameters(), strict=True))
    assert not any(p.requires_grad or p.grad is not None for p in unet_2d.parameters())


def test_inflation_shares_the_weights_and_keeps_their_names(unet_2d, goldens):
    inflated = InflatedUNet.from_2d(unet_2d)
    own = inflated.state_dict()
    assert set(own) == set(unet_2d.state_dict()) | set(goldens("attn_temp"))
    assert all(own[name].data_ptr() == tensor.data_ptr() for name, tensor in unet_2d.state_dict().items())


def test_temporal_weights_come_from_the_seed_and_spare_the_global_generator(unet_2d):
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    one, same, other = (InflatedUNet.from_2d(unet_2d, seed=seed).temporal_state() for seed in (1, 1, 2))
    assert torch.equal(torch.randn(3), expected)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_set_modes_switches_norms_both_ways(unet_2d):
    inflated = InflatedUNet.from_2d(unet_2d, group_norm="clip")
    kinds = lambda: Counter(isinstance(getattr(o, n), ClipGroupNorm) for o, n in inflated.clip_norms())  # noqa: E731
    assert set(kinds()) == {True}
    inflated.set_modes(attention="full", group_norm="frame")
    assert set(kinds()) == {False}
    inflated.set_modes(attention="full", group_norm="clip")
    assert set(kinds()) == {True}


def gradients(unet, context, *, checkpointing):
    unet.requires_grad_(True).train()
    unet.zero_grad()
    (unet.enable_gradient_checkpointing if checkpointing else unet.disable_gradient_checkpointing)()
    latents = torch.randn((1, 4, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    loss = unet(latents, 481, context).pow(2).mean()
    unet.frames.value = 7  # what another forward would leave behind before the backward pass
    loss.backward()
    return {name: p.grad.clone() for name, p in unet.named_parameters()}


def test_checkpointing_gives_every_parameter_the_same_gradient(inflated, context, close):
    plain = gradients(inflated, context, checkpointing=False)
    recomputed = gradients(inflated, context, checkpointing=True)
    assert set(plain) == set(recomputed) == {name for name, _ in inflated.named_parameters()}
    for name in plain:
        close(recomputed[name], plain[name], 1e-4, name)


def test_load_temporal_takes_a_whole_state_dict(unet_2d, goldens):
    inflated = InflatedUNet.from_2d(unet_2d)
    inflated.load_temporal({**goldens("unet_2d"), **goldens("attn_temp")})
    assert all(torch.equal(inflated.state_dict()[name], tensor) for name, tensor in goldens("attn_temp").items())


def test_load_temporal_names_the_first_weight_that_does_not_fit(inflated, goldens):
    weights = goldens("attn_temp")
    name = "mid_block.attentions.0.transformer_blocks.0.attn_temp.to_k.weight"
    with pytest.raises(MotionError, match=r"mid_block.*to_k.weight is none.*\(64, 64\)"):
        inflated.load_temporal({key: tensor for key, tensor in weights.items() if key != name})
    with pytest.raises(MotionError, match=r"mid_block.*to_k.weight is \(3, 3\)"):
        inflated.load_temporal({**weights, name: torch.zeros(3, 3)})
    with pytest.raises(MotionError, match=r"extra.attn_temp.to_q.weight is \(2,\)"):
        inflated.load_temporal({**weights, "extra.attn_temp.to_q.weight": torch.zeros(2)})


def test_wrong_input_is_refused(inflated, context):
    with pytest.raises(LatentsError, match=r"shape \(1, 4, 8, 8\)"):
        inflated(torch.randn(1, 4, 8, 8), 1, context)
    with pytest.raises(LatentsError, match="3 channels"):
        inflated(torch.randn(1, 3, 2, 8, 8), 1, context)


def test_wrong_options_are_refused(unet_2d, inflated):
    for options in ({"attention": "dense"}, {"group_norm": "layer"}, {"backend": "magic"}, {"attention_k": 0}):
        with pytest.raises(ConfigError):
            InflatedUNet.from_2d(unet_2d, **options)
    with pytest.raises(ConfigError, match="set_modes"):
        InflatedUNet.from_2d(inflated)


def test_the_random_numbers_of_the_caller_stay_on_every_device(unet_2d, monkeypatch):
    """torch.manual_seed would seed the generators of graphics cards, and only the CPU's is put back."""
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    torch.manual_seed(5)
    expected = torch.get_rng_state()
    seeded.clear()
    InflatedUNet.from_2d(unet_2d)
    assert torch.equal(torch.get_rng_state(), expected) and not seeded
