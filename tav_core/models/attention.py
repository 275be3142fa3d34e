"""Attention across frames: how a frame attends to others, and the processors that make diffusers' attention do so.

b  videos      f  frames      n  tokens of a frame      m  tokens of the text      s  frames attended to
h  heads       d  channels of all heads      e  channels of one head
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..errors import ConfigError
from .along_paths import AlongPaths
from .attention_modes import group_frames
from .inflation import FrameCount
from .positions import rotate_frames, rotate_pairs
from .token_merging import TokenMerging

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention

BACKENDS = ("sdpa", "xformers")
# Attention of query `b h n e` over key and value `b h m e`, with a bias as `attn_mask`.
Kernel = Callable[..., Tensor]
# CUDA's kernels fail on batches of 65,536 (pytorch/pytorch#142228); temporal attention has one row for each pixel.
BATCH_LIMIT = 2**15
ROTATIONS = {"rotary": rotate_frames, "lavie_rotary": rotate_pairs, "lavie": rotate_pairs}


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    heads: int,
    upcast: bool,
    backend: str | Kernel,
    bias: Tensor | None = None,
) -> Tensor:
    """Multi-head attention without a mask: `b n (h e)` and twice `b m (h e)` to `b n (h e)`.

    Args:
        upcast: compute in float32, as Stable Diffusion 2.1 needs in half precision.
        backend: one of `BACKENDS`, or a function in place of PyTorch's.
        bias: added to the logits, `1 h n m`.
    """
    dtype = query.dtype
    if upcast and dtype != torch.float32:
        with torch.autocast(query.device.type, enabled=False):
            query, key, value = query.float(), key.float(), value.float()
            return attend(query, key, value, heads=heads, upcast=False, backend=backend, bias=bias).to(dtype)
    if bias is not None:
        bias = bias.to(query.dtype)
    if len(query) > BATCH_LIMIT:
        parts = zip(*(x.split(BATCH_LIMIT) for x in (query, key, value)), strict=True)
        return torch.cat([attend(*part, heads=heads, upcast=False, backend=backend, bias=bias) for part in parts])
    if backend == "xformers":
        from xformers.ops import memory_efficient_attention

        query, key, value = (rearrange(x, "b n (h e) -> b n h e", h=heads).contiguous() for x in (query, key, value))
        # It takes no bias that is broadcast over the batch unless that is expanded.
        bias = None if bias is None else bias.expand(len(query), -1, -1, -1)
        return rearrange(memory_efficient_attention(query, key, value, attn_bias=bias), "b n h e -> b n (h e)")
    query, key, value = (rearrange(x, "b n (h e) -> b h n e", h=heads) for x in (query, key, value))
    kernel = F.scaled_dot_product_attention if isinstance(backend, str) else backend
    return rearrange(kernel(query, key, value, attn_mask=bias), "b h n e -> b n (h e)")


def attend_frames(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mode: str,
    num_frames: int,
    k: int,
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Tensor:
    """Attention in which each frame attends to the frames that the mode gives; `(b f) n d` in and out.

    Frames that attend to the same frames share one set of keys; others gather theirs. There is no mask.

    Args:
        attend: plain attention, `b n d` and twice `b m d` to `b n d`.
    """
    if mode == "spatial":
        return attend(query, key, value)
    query, key, value = (rearrange(x, "(b f) n d -> b f n d", f=num_frames) for x in (query, key, value))
    groups = group_frames(mode, num_frames, k)
    queries = query.split([frames.stop - frames.start for frames, _ in groups], dim=1)
    # Frames that see the same frames, such as frames 0 and 1, need their keys once.
    seen = [visible[:1] if len(set(visible)) == 1 else visible for _, visible in groups]
    keys, values = (gather_frames(x, seen) for x in (key, value))
    outputs = []
    for query, key, value in zip(queries, keys, values, strict=True):
        size = query.shape[1]
        if key.shape[1] == 1:
            output = attend(rearrange(query, "b f n d -> b (f n) d"), *(x.squeeze(1) for x in (key, value)))
            outputs.append(rearrange(output, "b (f n) d -> b f n d", f=size))
        else:
            output = attend(*(rearrange(x, "b f n d -> (b f) n d") for x in (query, key, value)))
            outputs.append(rearrange(output, "(b f) n d -> b f n d", f=size))
    return rearrange(torch.cat(outputs, dim=1), "b f n d -> (b f) n d")


def gather_frames(tokens: Tensor, groups: Sequence[tuple[tuple[int, ...], ...]]) -> list[Tensor]:
    """The tokens of the frames that each frame of each group attends to: `b f n d` to `b g (s n) d`, for g frames.

    It takes slices and repeats, and no list of indices: such a list would be copied to the device, and on a CPU,
    several threads add up the gradient of indexing in whatever order they come, so two runs of the same tuning would
    differ in their last bits.
    """
    spans = [[(column[0], column[-1] + 1) for column in zip(*visible, strict=True)] for visible in groups]
    parts = take_spans(tokens, {span for columns in spans for span in columns})
    gathered = []
    for visible, columns in zip(groups, spans, strict=True):
        repeated = [parts[span].expand(-1, len(visible), -1, -1) for span in columns]
        gathered.append(rearrange(torch.stack(repeated, dim=2), "b g s n d -> b g (s n) d"))
    return gathered


def take_spans(tokens: Tensor, spans: set[tuple[int, int]]) -> dict[tuple[int, int], Tensor]:
    """Ranges of frames of `b f n d`.

    Ranges that do not overlap come from one split. Its gradient is one joining, where that of each slice would be a
    clip of zeros around it, and all of these would be added up.
    """
    ordered, num_frames = sorted(spans), tokens.shape[1]
    cuts = [0, *(edge for span in ordered for edge in span), num_frames]
    if cuts != sorted(cuts):
        return {(start, end): tokens[:, start:end] for start, end in spans}
    sizes = [end - start for start, end in pairwise(cuts)]
    parts = dict(zip(pairwise(cuts), tokens.split(sizes, dim=1), strict=True))
    return {span: parts[span] for span in spans}


@dataclass(kw_only=True)
class SelfAttention:
    """Processor for attn1: tokens attend to the tokens of the frames that the mode gives.

    Args:
        frames: the frame count, shared with the UNet.
        mode: one of `MODES`; "spatial" is plain self-attention.
        k: for "sparse_causal_k".
        backend: one of `BACKENDS`.
        along: a second attention, along the paths of tokens.
        merging: tokens that are alike go through as one; not together with `along`.
    """

    frames: FrameCount
    mode: str = "spatial"
    k: int = 2
    backend: str | Kernel = "sdpa"
    along: AlongPaths | None = None
    merging: TokenMerging | None = None

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
    ) -> Tensor:
        assert encoder_hidden_states is None and attention_mask is None, "self-attention sees every token of its frames"
        merged = None if self.merging is None else self.merging.match(hidden_states, self.frames.sides)
        if merged is not None:
            hidden_states = merged.merge(hidden_states)
        query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        plain = partial(attend, heads=attn.heads, upcast=attn.upcast_attention, backend=self.backend)
        output = attend_frames(query, key, value, mode=self.mode, num_frames=self.frames.value, k=self.k, attend=plain)
        if self.along is not None:
            output = self.along(query, key, output, plain)
        output = attn.to_out[1](attn.to_out[0](output))
        return output if merged is None else merged.spread(output)


@dataclass(kw_only=True)
class TemporalAttention:
    """Processor for attn_temp, whose tokens are the frames at one pixel: every frame attends to all.

    Args:
        backend: one of `BACKENDS`.
        positions: one of `ALL_POSITIONS`.
    """

    backend: str | Kernel = "sdpa"
    positions: str = "none"

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
    ) -> Tensor:
        assert encoder_hidden_states is None and attention_mask is None, "a temporal attention sees all frames"
        query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        if rotate := ROTATIONS.get(self.positions):
            query, key = (rotate(x, heads=attn.heads) for x in (query, key))
        bias = attn.time_rel_pos_bias(hidden_states.shape[1]) if self.positions == "lavie" else None
        output = attend(
            query, key, value, heads=attn.heads, upcast=attn.upcast_attention, backend=self.backend, bias=bias
        )
        return attn.to_out[1](attn.to_out[0](output))


@dataclass(kw_only=True)
class TextAttention:
    """Processor for attn2: all frames of a video attend to one text, projected once per video.

    The text is `b m d`, one row per video; `(b f) m d`, one row per frame, works too.
    """

    frames: FrameCount
    backend: str | Kernel = "sdpa"

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, attention_mask: None = None
    ) -> Tensor:
        assert attention_mask is None, "Stable Diffusion attends to every token of the text, padding too"
        num_frames = hidden_states.shape[0] // encoder_hidden_states.shape[0]
        tokens = rearrange(hidden_states, "(b f) n d -> b (f n) d", f=num_frames)
        query, key, value = attn.to_q(tokens), attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        output = attend(query, key, value, heads=attn.heads, upcast=attn.upcast_attention, backend=self.backend)
        output = attn.to_out[1](attn.to_out[0](output))
        return rearrange(output, "b (f n) d -> (b f) n d", f=num_frames)


def check_backend(backend: str) -> None:
    """Checks that an attention backend can be used here.

    Raises:
        ConfigError: an unknown backend, or xformers is asked for and not installed.
    """
    if backend not in BACKENDS:
        raise ConfigError(
            got=f"attention backend {backend!r}", expected=f"one of {', '.join(BACKENDS)}", mend="Choose one."
        )
    if backend == "xformers":
        from importlib.util import find_spec

        if find_spec("xformers") is None:
            raise ConfigError(
                got="backend 'xformers', which is not installed",
                expected="an installed xformers, or 'sdpa'",
                mend="Use 'sdpa', PyTorch's own: it needs no package and is about as fast.",
            )
