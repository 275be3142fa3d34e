"""tav_core/attention.py: which frames each mode sees, and that gathering equals a mask."""

from __future__ import annotations

import importlib.util
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from tav_core.attention import attend, attend_frames, check_backend
from tav_core.attention_modes import MODES, group_frames, visible_frames
from tav_core.errors import ConfigError
from tav_core.unet import InflatedUNet

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

    def memory_efficient_attention(query, key, value):
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2)

    ops = types.SimpleNamespace(memory_efficient_attention=memory_efficient_attention)
    monkeypatch.setitem(sys.modules, "xformers", types.SimpleNamespace(ops=ops))
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    query, key, value = torch.randn(3, 2, 6, 8)
    got = attend(query, key, value, heads=2, upcast=False, backend="xformers")
    expected = attend(query, key, value, heads=2, upcast=False, backend="sdpa")
    torch.testing.assert_close(got, expected)
