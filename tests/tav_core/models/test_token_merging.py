"""tav_core/models/token_merging.py: which tokens merge, and that the attention of merged tokens is plain attention."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange

from tav_core.models.inflation import FrameCount
from tav_core.models.token_merging import TokenMerging

SIDES, FRAMES = (4, 6), 3


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.75])
def test_so_many_tokens_merge_and_each_place_gets_its_output(ratio):
    tokens = draw(2, 24, 8)
    merged = TokenMerging(ratio=ratio).match(tokens, SIDES)
    fewer = merged.merge(tokens)
    assert fewer.shape == (2, 24 - round(24 * ratio), 8)
    spread = merged.spread(fewer)
    for row in range(2):
        left = [*merged.stay.tolist(), *merged.kept[row].tolist(), *merged.gone[row].tolist()]
        assert sorted(left) == list(range(24))
        assert torch.equal(spread[row, merged.kept[row]], tokens[row, merged.kept[row]])
        into = merged.stay[merged.into[row]]
        assert torch.equal(spread[row, merged.gone[row]], spread[row, into])


def test_what_merges_becomes_the_mean_with_where_it_goes():
    tokens = draw(1, 24, 8)
    merged = TokenMerging(ratio=0.6).match(tokens, SIDES)
    spread = merged.spread(merged.merge(tokens))
    for at, token in enumerate(merged.stay.tolist()):
        joined = [token, *merged.gone[0][merged.into[0] == at].tolist()]
        torch.testing.assert_close(spread[0, token], tokens[0, joined].mean(0))


def test_the_most_alike_merge_into_the_one_that_they_are_like():
    tokens = draw(1, 24, 32)
    # Token 1 points where token 16 does, which stays; nothing else is as alike as these.
    tokens[0, 1] = 3 * tokens[0, 16]
    merged = TokenMerging(ratio=1 / 24).match(tokens, SIDES)
    assert merged.stay.tolist() == [0, 2, 4, 12, 14, 16]
    assert merged.gone.tolist() == [[1]] and merged.stay[merged.into].tolist() == [[16]]


def test_a_last_odd_row_and_column_merge_into_others_too():
    merged = TokenMerging(ratio=0.75).match(draw(1, 15, 4), (3, 5))
    assert merged.stay.tolist() == [0, 2]
    assert merged.gone.shape == (1, 11)


def test_tokens_that_are_all_the_same_stay_so():
    tokens = torch.ones(2, 24, 4)
    merged = TokenMerging(ratio=0.5).match(tokens, SIDES)
    assert torch.equal(merged.spread(merged.merge(tokens)), tokens)


@pytest.mark.parametrize(("level", "tokens"), [(0, 24), (1, 6), (2, 2)])
def test_other_levels_and_lines_merge_nothing(level, tokens):
    assert TokenMerging(ratio=0.5, level=level).match(draw(1, 23, 4), SIDES) is None
    assert (TokenMerging(ratio=0.5, level=level).match(draw(1, tokens, 4), SIDES) is None) == (level == 2)


@pytest.mark.parametrize("ratio", [0.0, 0.5])
@torch.no_grad()
def test_the_attention_of_merged_tokens_is_plain_attention_to_frames_0_and_before(sd1, ratio):
    """Against float64: what is left of each frame asks what is left of frames 0 and i - 1."""
    from diffusers.models.attention_processor import Attention

    from tav_core.models.attention import SelfAttention

    attn, frames = Attention(query_dim=16, heads=2, dim_head=8).double(), FrameCount()
    frames.value, frames.sides = FRAMES, SIDES
    merging = TokenMerging(ratio=ratio) if ratio else None
    tokens = draw(FRAMES, 24, 16)
    got = SelfAttention(frames=frames, mode="sparse_causal", merging=merging)(attn, tokens)
    match = TokenMerging(ratio=ratio).match(tokens, SIDES)
    fewer = match.merge(tokens)
    outputs = []
    for frame, own in enumerate(fewer):
        seen = torch.cat([fewer[0], fewer[max(frame - 1, 0)]])
        query, key, value = (
            rearrange(layer(x), "n (h e) -> h n e", h=2)
            for layer, x in ((attn.to_q, own), (attn.to_k, seen), (attn.to_v, seen))
        )
        weights = (query @ key.transpose(1, 2) / 8**0.5).softmax(-1)
        outputs.append(attn.to_out[0](rearrange(weights @ value, "h n e -> n (h e)")))
    torch.testing.assert_close(got, match.spread(torch.stack(outputs)), rtol=1e-10, atol=1e-12)
