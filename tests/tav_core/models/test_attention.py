"""tav_core/models/attention.py: which frames each mode sees, and that gathering equals a mask."""

from __future__ import annotations

import importlib.util
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from tav_core.errors import ConfigError
from tav_core.models.attention import attend, attend_frames, check_backend
from tav_core.models.attention_modes import MODES, check_positions, group_frames, recorded_modes, visible_frames
from tav_core.models.positions import rotate_frames
from tav_core.models.unet import InflatedUNet

SEEN = {
    "spatial": [{0}, {1}, {2}, {3}, {4}],
    "first": [{0}, {0}, {0}, {0}, {0}],
    "sparse_causal": [{0}, {0}, {0, 1}, {0, 2}, {0, 3}],
    "sparse_causal_k": [{0}, {0}, {0, 1}, {0, 2}, {0, 3, 1}],
    "causal": [{0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}, {0, 1, 2, 3, 4}],
    "full": [{0, 1, 2, 3, 4}] * 5,
}
HOW = {"heads": 2, "upcast": False, "backend": "sdpa"}


def test_every_mode_is_listed():
    assert set(SEEN) == set(MODES)


@pytest.mark.parametrize("mode", MODES)
def test_visible_frames(mode):
    assert [set(frames) for frames in visible_frames(mode, 5, k=3)] == SEEN[mode]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_gathering_equals_a_masked_attention(mode, num_frames):
    query, key, value = torch.randn(3, 2 * num_frames, 4, 8, dtype=torch.float64)
    got = attend_frames(query, key, value, mode=mode, num_frames=num_frames, k=3, attend=partial(attend, **HOW))

    visible = visible_frames(mode, num_frames, 3)
    mask = torch.tensor([[j in visible[i] for j in range(num_frames)] for i in range(num_frames)])
    mask = mask.repeat_interleave(4, 0).repeat_interleave(4, 1)
    split = lambda x: x.reshape(2, num_frames * 4, 2, 4).transpose(1, 2)  # noqa: E731
    plain = F.scaled_dot_product_attention(split(query), split(key), split(value), attn_mask=mask)
    torch.testing.assert_close(got, plain.transpose(1, 2).reshape(got.shape), rtol=1e-10, atol=1e-12)


@pytest.fixture
def several_threads():
    """What users have; the other tests use one."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_of_gathered_frames_are_equal_bit_for_bit(mode, several_threads):
    """At a size that threads share, where they add up the gradient of indexing in any order."""
    tokens = torch.randn(8, 144, 64, requires_grad=True)
    plain = partial(attend, **HOW)

    def gradient():
        output = attend_frames(tokens, tokens, tokens, mode=mode, num_frames=8, k=3, attend=plain)
        return torch.autograd.grad(output.square().sum(), tokens)[0]

    first = gradient()
    assert all(torch.equal(gradient(), first) for _ in range(10))


@pytest.mark.parametrize("mode", MODES)
def test_groups_hold_every_frame_once_in_order(mode):
    for num_frames in (1, 2, 7, 24):
        groups = group_frames(mode, num_frames, 3)
        assert [i for frames, _ in groups for i in range(frames.start, frames.stop)] == list(range(num_frames))


@pytest.mark.parametrize("mode", MODES)
def test_in_the_unet_a_frame_depends_on_the_frames_its_mode_names(unet_2d, context, mode):
    """Self-attention in a UNet: the first attn1's output changes only where a visible frame changed."""
    inflated = InflatedUNet.from_2d(unet_2d, attention=mode, attention_k=3, group_norm="frame")
    attn1 = next(iter(inflated.blocks().values())).attn1
    inflated.frames.value = 5
    tokens = torch.randn(5, 6, 32)
    with torch.no_grad():
        before = attn1(tokens)
        for changed in range(5):
            other = tokens.clone()
            other[changed] += 1.0
            moved = (attn1(other) - before).abs().amax(dim=(1, 2)) > 1e-6
            for frame in range(5):
                # A frame's own queries always matter, its keys only where the mode names it.
                assert bool(moved[frame]) == (changed == frame or changed in SEEN[mode][frame]), (frame, changed)


def test_upcast_computes_in_float32():
    """Scores of 2e5 overflow half precision: only the upcast path stays finite and right."""
    query = key = 500 * torch.ones(1, 4, 8, dtype=torch.float16)
    value = torch.randn(1, 4, 8).half()
    got = attend(query, key, value, heads=1, upcast=True, backend="sdpa")
    expected = attend(query.float(), key.float(), value.float(), heads=1, upcast=False, backend="sdpa")
    assert got.dtype == torch.float16
    torch.testing.assert_close(got.float(), expected, rtol=1e-3, atol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        inside = attend(query, key, value, heads=1, upcast=True, backend="sdpa")
    assert torch.equal(inside, got)


def test_xformers_is_refused_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="sdpa"):
        check_backend("xformers")


def test_xformers_gets_heads_in_its_own_layout(monkeypatch):
    """xformers takes b n h e; a stand-in with its signature shows that our reshaping around it is right."""
    import sys
    import types

    def memory_efficient_attention(query, key, value, attn_bias=None):
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        return F.scaled_dot_product_attention(query, key, value, attn_mask=attn_bias).transpose(1, 2)

    ops = types.SimpleNamespace(memory_efficient_attention=memory_efficient_attention)
    monkeypatch.setitem(sys.modules, "xformers", types.SimpleNamespace(ops=ops))
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    query, key, value = torch.randn(3, 2, 6, 8)
    for bias in (None, torch.randn(1, 2, 6, 6)):
        got = attend(query, key, value, heads=2, upcast=False, backend="xformers", bias=bias)
        expected = attend(query, key, value, heads=2, upcast=False, backend="sdpa", bias=bias)
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("with_bias", [False, True])
def test_a_large_batch_is_attended_to_in_parts(monkeypatch, with_bias):
    """One row for each pixel of a large video: CUDA's kernels take fewer."""
    from tav_core.models import attention

    query, key, value = torch.randn(3, 10, 6, 8)
    bias = torch.randn(1, 2, 6, 6) if with_bias else None
    expected = attend(query, key, value, heads=2, upcast=False, backend="sdpa", bias=bias)
    monkeypatch.setattr(attention, "BATCH_LIMIT", 4)
    sizes = []
    plain = F.scaled_dot_product_attention

    def counted(query, *args, **kwargs):
        sizes.append(len(query))
        return plain(query, *args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    got = attend(query, key, value, heads=2, upcast=False, backend="sdpa", bias=bias)
    torch.testing.assert_close(got, expected)
    assert sizes == [4, 4, 2]


def rotate_plainly(tokens, heads):
    """RoFormer's matrix (eq. 15) on every head of every frame, in float64."""
    width = tokens.shape[-1] // heads
    half = width // 2
    rotated = tokens.double().clone()
    for frame in range(tokens.shape[1]):
        for head in range(heads):
            for pair in range(half):
                angle = frame * 10000.0 ** (-pair / half)
                one, other = head * width + pair, head * width + half + pair
                x, y = tokens[:, frame, one].double(), tokens[:, frame, other].double()
                rotated[:, frame, one] = x * math.cos(angle) - y * math.sin(angle)
                rotated[:, frame, other] = y * math.cos(angle) + x * math.sin(angle)
    return rotated


@pytest.mark.parametrize(("heads", "width"), [(1, 8), (2, 8), (3, 5)])
def test_rotary_positions_are_the_papers(heads, width):
    tokens = torch.randn(2, 6, heads * width)
    got = rotate_frames(tokens, heads=heads)
    torch.testing.assert_close(got.double(), rotate_plainly(tokens, heads), rtol=1e-5, atol=1e-6)
    assert torch.equal(got[:, 0], tokens[:, 0])
    torch.testing.assert_close(got.norm(dim=-1), tokens.norm(dim=-1))


def test_rotary_products_depend_on_how_far_frames_are_apart_and_not_on_where():
    query, key = (torch.randn(1, 1, 8).expand(1, 7, 8) for _ in range(2))
    scores = (rotate_frames(query, heads=1) @ rotate_frames(key, heads=1).transpose(1, 2))[0]
    torch.testing.assert_close(scores[1:, 1:], scores[:-1, :-1])
    assert (scores[0, 1:] - scores[0, :-1]).abs().min() > 1e-3


@torch.no_grad()
def test_with_rotary_positions_the_unet_knows_the_order_of_frames_and_without_not(inflated, context, close):
    inflated.set_modes(attention="spatial", group_norm="clip")
    latents = torch.randn(1, 4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    back_to_front = lambda: inflated(latents.flip(2), 481, context).flip(2)  # noqa: E731
    order = [1, 0, 2, 3]
    plain = inflated(latents, 481, context)
    close(inflated(latents[:, :, order], 481, context)[:, :, order], plain, 1e-5)
    close(back_to_front(), plain, 1e-5)
    inflated.set_modes(attention="spatial", group_norm="clip", positions="rotary")
    rotary = inflated(latents, 481, context)
    assert (rotary - plain).abs().max() > 1e-3 * plain.abs().max()
    assert (inflated(latents[:, :, order], 481, context)[:, :, order] - rotary).abs().max() > 1e-4
    inflated.set_modes(attention="spatial", group_norm="clip", positions="none")
    assert torch.equal(inflated(latents, 481, context), plain)


@torch.no_grad()
def test_only_the_temporal_attention_has_positions(inflated, context):
    inflated.set_modes(attention="sparse_causal", group_norm="clip", positions="rotary")
    for block in inflated.blocks().values():
        assert not hasattr(block.attn1.processor, "positions")
        assert block.attn_temp.processor.positions == "rotary"


def test_unknown_positions_are_refused(unet_2d):
    with pytest.raises(ConfigError, match=r"positions 'learned'.*none, rotary"):
        InflatedUNet.from_2d(unet_2d, positions="learned")
    check_positions("rotary")


def test_files_name_positions_only_where_there_are_some(unet_2d):
    """So that versions without this option can read the file, and older runs continue."""
    plain = recorded_modes(InflatedUNet.from_2d(unet_2d).modes)
    assert plain == {"attention": "sparse_causal", "attention_k": 2, "group_norm": "frame"}
    assert recorded_modes(InflatedUNet.from_2d(unet_2d, positions="rotary").modes) == {**plain, "positions": "rotary"}


@torch.no_grad()
def test_shifting_all_rotary_positions_changes_nothing(inflated, context, close, monkeypatch):
    from tav_core.models import attention

    def rotate_later(tokens, *, heads):
        before = torch.zeros_like(tokens[:, :1]).expand(-1, 7, -1)
        return rotate_frames(torch.cat([before, tokens], dim=1), heads=heads)[:, 7:]

    inflated.set_modes(attention="sparse_causal", group_norm="clip", positions="rotary")
    latents = torch.randn(1, 4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = inflated(latents, 481, context)
    monkeypatch.setitem(attention.ROTATIONS, "rotary", rotate_later)
    close(inflated(latents, 481, context), expected, 1e-5)
