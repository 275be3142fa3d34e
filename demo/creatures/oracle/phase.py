"""The phase of a subject's cycle, read from a crop around it, which is finer than the whole picture.

Phases are `n 2`, for n pictures: the cosine and the sine of the angle, and shorter where a picture leaves it open.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from .network import Block

WEIGHTS = Path(__file__).with_name("phase.safetensors")
# Pictures are 96 pixels wide and high, and a crop of one is resized to 64.
PICTURE_SIDE, CROP_SIDE = 96, 64
# Half the side of a crop, in standard deviations of the subject's mask, and its bounds as shares of the picture.
REACH, BOUNDS = 2.6, (0.12, 0.6)
# Crops whose readings are averaged: moved by x and y, as shares of the picture, and scaled.
LOOKS = (
    *((0.0, 0.0, 1.0), (0.015, 0.0, 1.0), (-0.015, 0.0, 1.0), (0.0, 0.015, 1.0)),
    *((0.0, -0.015, 1.0), (0.0, 0.0, 0.94), (0.0, 0.0, 1.07)),
)
WIDTHS = (32, 64, 128)


class PhaseNet(nn.Module):
    """Reads the phase from crops `n 3 64 64` in [0, 1]. It does not average over places, because a phase is where a
    subject's limbs are."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 4, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
        )
        self.down = nn.Sequential(Block(first, second, 2), Block(second, third, 2), nn.Conv2d(third, 32, 1))
        cells = (CROP_SIDE // 8) ** 2
        self.head = nn.Sequential(
            nn.Flatten(), nn.ReLU(), nn.Linear(32 * cells, 128), nn.ReLU(inplace=True), nn.Linear(128, 2)
        )

    def forward(self, crops: Tensor) -> Tensor:
        return self.head(self.down(self.stem(crops - 0.5)))


def boxes(masks: Tensor) -> Tensor:
    """Where subjects are, from their masks `n h w` in [0, 1]: centre x, centre y and half the side of a square around
    it, `n 3`, as shares of the picture."""
    total = masks.sum((1, 2)).clamp(min=1e-3)
    found = []
    for axis, side in ((1, masks.shape[2]), (2, masks.shape[1])):
        share = masks.sum(axis) / total[:, None]
        places = (torch.arange(side, device=masks.device) + 0.5) / side
        middle = (share * places).sum(1)
        found.append((middle, (share * (places - middle[:, None]) ** 2).sum(1).sqrt()))
    (x, wide), (y, high) = found
    return torch.stack([x, y, (REACH * torch.maximum(wide, high)).clamp(*BOUNDS)], 1)


def crop(pictures: Tensor, squares: Tensor) -> Tensor:
    """The squares `n 3`, see `boxes`, of pictures `n 3 h w`: `n 3 64 64`."""
    x, y, half = squares.unbind(1)
    zero = torch.zeros_like(x)
    rows = torch.stack([2 * half, zero, 2 * x - 1], 1), torch.stack([zero, 2 * half, 2 * y - 1], 1)
    grid = F.affine_grid(torch.stack(rows, 1), [len(pictures), 3, CROP_SIDE, CROP_SIDE], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


@functools.cache
def phase_net() -> PhaseNet:
    """The trained network."""
    net = PhaseNet().eval()
    net.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return net


@torch.no_grad()
def read_phases(pictures: Tensor, masks: Tensor, net: PhaseNet | None = None) -> Tensor:
    """The phases of subjects in pictures `n 3 h w` in [0, 1], with their masks `n h w` in [0, 1]: `n 2`, the mean over
    `LOOKS`."""
    net, squares = net or phase_net(), boxes(masks)
    small = F.interpolate(pictures, (PICTURE_SIDE, PICTURE_SIDE), mode="area")
    found = []
    for right, down, scale in LOOKS:
        moved = squares * torch.tensor([1.0, 1.0, scale]) + torch.tensor([right, down, 0.0])
        found.append(net(crop(small, moved)))
    return torch.stack(found).mean(0)
