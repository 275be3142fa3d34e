"""tav_core/models/positions.py against LaVie itself and against plain formulas."""

from __future__ import annotations

import pytest
import torch

from tav_core.models.positions import RelativeBias, bucket_of, rotary_rates, rotate_pairs
from tests.tav_core.lavie_models import golden, golden_unet


def test_buckets_match_the_original():
    tensors = golden("base", "attn_temp")
    distances = tensors["bucket.key_minus_query"].tolist()
    assert [bucket_of(distance) for distance in distances] == tensors["bucket.index"].tolist()


def test_rotation_matches_the_original(close):
    tensors = golden("base", "attn_temp")
    torch.testing.assert_close(rotary_rates(16), tensors["rotary.freqs"])
    given = tensors["rotary.in"].transpose(1, 2).flatten(2)
    expected = tensors["rotary.out"].transpose(1, 2).flatten(2)
    close(rotate_pairs(given, heads=2), expected, 5e-6)


@pytest.mark.parametrize("place", ["mid", "down"])
@torch.no_grad()
def test_bias_and_attention_match_the_original(place, close):
    tensors = golden("base", "attn_temp")
    parent = golden_unet("base").get_submodule({"mid": "mid_block", "down": "down_blocks.0"}[place])
    attention = parent.attentions[0].transformer_blocks[0].attn_temp
    assert torch.equal(attention.time_rel_pos_bias.relative_attention_bias.weight, tensors[f"{place}.bias_table"])
    close(attention.time_rel_pos_bias(16)[0], tensors[f"{place}.bias.f16"], 1e-6)
    for num_frames in (1, 2, 5, 8, 16):
        name = f"{place}.f{num_frames}"
        close(attention(tensors[f"{name}.in"]), tensors[f"{name}.out"], 5e-6, name)


def test_only_distances_count():
    query, key = torch.randn(2, 1, 1, 40).expand(2, 1, 12, 40)
    query, key = rotate_pairs(query, heads=1)[0], rotate_pairs(key, heads=1)[0]
    scores = query @ key.T
    for shift in range(1, 8):
        torch.testing.assert_close(scores[0, :4], scores[shift, shift : shift + 4], rtol=1e-4, atol=1e-4)


def test_a_narrow_head_is_rotated_as_a_whole():
    tokens = torch.randn(1, 3, 16)
    turned = rotate_pairs(tokens, heads=2)
    assert torch.equal(turned[:, 0], tokens[:, 0])
    assert (turned[:, 1:] != tokens[:, 1:]).all()
    torch.testing.assert_close(turned.norm(dim=-1), tokens.norm(dim=-1))


@torch.no_grad()
def test_longer_distances_share_the_bias_of_the_limit():
    bias = RelativeBias(2, longest=15)
    biases = bias(20)[0]
    assert torch.equal(biases[:, 0, 15], biases[:, 0, 19])
    assert torch.equal(biases[:, 19, 4], biases[:, 19, 0])
    assert not torch.equal(biases[:, 0, 15], biases[:, 15, 0])
