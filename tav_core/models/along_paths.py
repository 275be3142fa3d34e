"""Attention along the paths of tokens (FLATTEN, arXiv 2310.05922): a second attention behind that of the frames.

Each token attends to the tokens of its own path, itself among them. Paths of the same length are one batched attention,
so there is no mask, no padding, and no loop over tokens: together the batches hold each token once.

b  videos      f  frames      n  tokens of a frame      p  paths of one length      l  that length
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class PathGroups:
    """A clip's paths, sorted by their length; those of a single token, to which nothing happens, are left out.

    Args:
        num_frames: frames of the clip.
        members: for each length, the tokens of its paths, `p l`, counted through all frames.
    """

    num_frames: int
    members: tuple[Tensor, ...]

    def to(self, device: torch.device) -> PathGroups:
        return PathGroups(num_frames=self.num_frames, members=tuple(part.to(device) for part in self.members))


def group_paths(paths: Tensor) -> PathGroups:
    """Sorts the paths of a grid's tokens by their length.

    Args:
        paths: the number of each token's path, int64 `f h w`, as `metrics.token_paths` gives them.
    """
    _, places, lengths = paths.flatten().unique(return_inverse=True, return_counts=True)
    # The tokens of one path after the other, and where each path begins.
    tokens, starts = places.argsort(stable=True), lengths.cumsum(0) - lengths
    members = [
        tokens[starts[lengths == length, None] + torch.arange(length, device=paths.device)]
        for length in lengths.unique().tolist()
        if length > 1
    ]
    return PathGroups(num_frames=len(paths), members=tuple(members))


def attend_along(
    query: Tensor, key: Tensor, value: Tensor, groups: PathGroups, attend: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """Attention of each token to the tokens of its path; `(b f) n d` in and out.

    Args:
        attend: plain attention, `b n d` and twice `b m d` to `b n d`.
    """
    query, key, value = (rearrange(x, "(b f) n d -> b (f n) d", f=groups.num_frames) for x in (query, key, value))
    output = value.clone()
    for members in groups.members:
        tokens = members.flatten()
        own = (rearrange(x[:, tokens], "b (p l) d -> (b p) l d", l=members.shape[1]) for x in (query, key, value))
        output[:, tokens] = rearrange(attend(*own), "(b p) l d -> b (p l) d", p=len(members))
    return rearrange(output, "b (f n) d -> (b f) n d", f=groups.num_frames)


@dataclass(kw_only=True, eq=False)
class AlongPaths:
    """What the self-attentions of one model do after their own attention. All layers share one.

    Args:
        match: what tokens are compared by, one of `attention_modes.PATH_MATCHES`.
        groups: the paths by the number of tokens of a frame, set for each step; layers with other numbers do nothing.
    """

    match: str
    groups: Mapping[int, PathGroups] = field(default_factory=dict)

    def __call__(
        self, query: Tensor, key: Tensor, output: Tensor, attend: Callable[[Tensor, Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The output of a self-attention, `(b f) n d` and before its projection, after attention along the paths.

        Args:
            query, key: the layer's own.
        """
        groups = self.groups.get(output.shape[1])
        if groups is None:
            return output
        if self.match == "output":
            query = key = output
        return attend_along(query, key, output, groups, attend)
