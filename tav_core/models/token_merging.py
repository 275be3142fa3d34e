"""Token merging (ToMe, arXiv 2303.17604): tokens of a frame that are alike go through the self-attention as one.

In each 2 x 2 tokens, the one at the top left stays. Of the others, those that are most like one of these merge into it:
it becomes the mean of both. After the attention, each merged token takes the output of the one that it went into. The
paper draws which one of the 2 x 2 stays; here it is always the same, so that a run can be repeated, and the frames of a
video merge into the same places.

b  rows, the frames of all videos      n  tokens of a frame      d  channels
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TokenMerging:
    """What the self-attentions of one model merge: tokens of the finest level that has attention, as in the paper.

    The next level has a quarter of the tokens, so that its attention is an eighth of the work.

    Args:
        ratio: share of a frame's tokens that merge into others, up to 0.75.
        level: the finest level that has attention; at each one before it, the latents' sides are halved.
    """

    ratio: float
    level: int = 0

    def match(self, tokens: Tensor, sides: tuple[int, int]) -> Merged | None:
        """Which of the tokens `b n d` merge into which; None if this layer merges nothing.

        Args:
            sides: height and width of the latents.
        """
        height, width = (-(-side // 2**self.level) for side in sides)
        if tokens.shape[1] != height * width or min(height, width) < 2:
            return None
        stay, others = split_grid(height, width, tokens.device)
        unit = F.normalize(tokens, dim=-1)
        alike, nearest = (unit[:, others] @ unit[:, stay].transpose(1, 2)).max(-1)
        order = alike.argsort(dim=-1, descending=True, stable=True)
        num_gone = min(round(self.ratio * height * width), len(others))
        gone, kept = order[:, :num_gone], order[:, num_gone:]
        return Merged(stay=stay, kept=others[kept], gone=others[gone], into=nearest.gather(1, gone))


@dataclass(frozen=True, kw_only=True, eq=False)
class Merged:
    """Which tokens merge.

    Args:
        stay: the tokens that others merge into, the same in all rows, `s`.
        kept: those that are left as they are, `b k`.
        gone, into: those that merge, `b g`, and into which of `stay`.
    """

    stay: Tensor
    kept: Tensor
    gone: Tensor
    into: Tensor

    def merge(self, tokens: Tensor) -> Tensor:
        """Tokens `b n d` to the fewer `b (k s) d`."""
        mean = tokens[:, self.stay].scatter_reduce(
            1, wide(self.into, tokens), tokens.gather(1, wide(self.gone, tokens)), "mean"
        )
        return torch.cat([tokens.gather(1, wide(self.kept, tokens)), mean], dim=1)

    def spread(self, fewer: Tensor) -> Tensor:
        """The outputs `b (k s) d` back to all places, `b n d`."""
        kept, mean = fewer.split([self.kept.shape[1], len(self.stay)], dim=1)
        output = fewer.new_empty(len(fewer), kept.shape[1] + len(self.stay) + self.gone.shape[1], fewer.shape[2])
        output[:, self.stay] = mean
        output.scatter_(1, wide(self.kept, fewer), kept)
        return output.scatter_(1, wide(self.gone, fewer), mean.gather(1, wide(self.into, fewer)))


def split_grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The numbers of the tokens at the top left of each 2 x 2, and those of the others."""
    first = torch.zeros(height, width, dtype=torch.bool)
    first[: height // 2 * 2 : 2, : width // 2 * 2 : 2] = True
    flat = first.flatten()
    return flat.nonzero().squeeze(1).to(device), (~flat).nonzero().squeeze(1).to(device)


def wide(index: Tensor, like: Tensor) -> Tensor:
    """An index of tokens `b n` for all channels of `b m d`."""
    return index[..., None].expand(-1, -1, like.shape[-1])
