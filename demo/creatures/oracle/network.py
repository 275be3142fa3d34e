"""The oracle's network: small convolutions that name what is in a picture, and mark where its subject is.

n: pictures   c: channels   h, w: 64 x 64 pixels of the input, 32 x 32 of the mask
"""

from __future__ import annotations

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F

from ..places import PLACES
from ..scene import NO_THING
from ..styles import STYLES
from ..subjects import SUBJECTS
from ..things import THINGS

SIDE = 64
MASK_SIDE = 32
# What the network names, and the words for it.
WORDS = {
    "subject": tuple(SUBJECTS),
    "place": tuple(PLACES),
    "style": tuple(STYLES),
    "thing": (NO_THING, *THINGS),
}
WIDTHS = (32, 64, 96, 160)


class Block(nn.Module):
    """Two convolutions with a residual; the first one halves the picture if `stride` is 2."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
        )
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        self.short = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.short(x))


class OracleNet(nn.Module):
    """Names what a picture shows.

    The subject is named from the features where it is, and place and style from those of the whole picture as well.
    """

    def __init__(self) -> None:
        super().__init__()
        stem, *widths = WIDTHS
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True))
        pairs = zip(WIDTHS, widths, strict=False)
        self.down = nn.ModuleList([Block(before, after, 2) for before, after in pairs])
        self.coarse = nn.Conv2d(widths[2], 48, 1)
        self.middle = nn.Conv2d(widths[1], 48, 1)
        self.fine = nn.Conv2d(widths[0], 48, 1)
        self.mask = nn.Sequential(nn.Conv2d(48, 32, 3, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(32, 1, 1))
        self.names = nn.ModuleDict({name: nn.Linear(3 * widths[2], len(words)) for name, words in WORDS.items()})
        self.phase = nn.Sequential(nn.Linear(3 * widths[2], 96), nn.ReLU(inplace=True), nn.Linear(96, 2))

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Reads pictures.

        Args:
            pictures: `n 3 64 64` in [0, 1].

        Returns:
            `mask`, logits `n 32 32`; for each name of `WORDS`, logits `n words`; and `phase`, `n 2`, the cosine and
            sine of the cycle's phase, which phase.py reads better.
        """
        fine = self.down[0](self.stem(pictures - 0.5))
        middle = self.down[1](fine)
        coarse = self.down[2](middle)
        mixed = F.interpolate(self.coarse(coarse), scale_factor=2) + self.middle(middle)
        mixed = F.interpolate(mixed, scale_factor=2) + self.fine(fine)
        mask = self.mask(F.relu(mixed))
        features = self.pool(coarse, mask)
        named = {name: head(features) for name, head in self.names.items()}
        return {"mask": rearrange(mask, "n 1 h w -> n h w"), "phase": self.phase(features), **named}

    def pool(self, features: Tensor, mask: Tensor) -> Tensor:
        """The mean of features over the picture, over the subject, and their maximum, `n 3*c`."""
        weight = F.adaptive_avg_pool2d(torch.sigmoid(mask), features.shape[-2:]) + 1e-3
        inside = reduce(features * weight, "n c h w -> n c", "sum") / reduce(weight, "n 1 h w -> n 1", "sum")
        return torch.cat([reduce(features, "n c h w -> n c", "mean"), inside, features.amax((2, 3))], 1)
