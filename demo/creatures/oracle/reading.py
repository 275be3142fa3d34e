"""Readings: what the oracle says of frames, and "unknown" where it is not sure."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from ..drawing.canvas import SIZE
from .network import MASK_SIDE, SIDE, WORDS, OracleNet
from .phase import read_phases

UNKNOWN = "unknown"
MIN_CONFIDENCE = 0.8
# The least share of the picture that a subject covers.
MIN_AREA = 0.03
FOLDER = Path(__file__).parent
# The second one, of another seed, checks the first.
ORACLES = (FOLDER / "oracle.safetensors", FOLDER / "second_oracle.safetensors")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What one frame shows.

    Args:
        subject, place, style, thing: names, "unknown" where the confidence is below `MIN_CONFIDENCE`.
        x, y: the subject's centre in pixels, nan if none was found.
        area: the share of the picture that it covers.
        phase: of its cycle, in turns, [0, 1).
        steadiness: how sure the phase is, 0 to 1; see phase.py.
        mask: bool `32 32`, where the subject is.
    """

    subject: str
    place: str
    style: str
    thing: str
    x: float
    y: float
    area: float
    phase: float
    steadiness: float
    mask: np.ndarray = dataclasses.field(compare=False, repr=False)


class Oracle:
    """Reads frames.

    Args:
        weights: a file that trainers/oracle.py wrote.
    """

    def __init__(self, weights: Path = ORACLES[0]) -> None:
        self.net = OracleNet().eval()
        state = {name: value.float() for name, value in load_file(weights).items()}
        self.temperature = {name: float(state.pop(f"temperature.{name}")) for name in WORDS}
        self.net.load_state_dict(state)

    @torch.no_grad()
    def read(self, frames: np.ndarray) -> list[Reading]:
        """What frames show, `n h w 3` in [0, 1]."""
        pictures = to_pictures(frames)
        said = self.net(to_input(pictures))
        masks = torch.sigmoid(said["mask"])
        names = {name: self.name(said[name], name) for name in WORDS}
        rows = zip(masks.numpy(), read_phases(pictures, masks).numpy(), strict=True)
        return [
            describe(mask, phase, **{name: words[row] for name, words in names.items()})
            for row, (mask, phase) in enumerate(rows)
        ]

    def name(self, logits: Tensor, name: str) -> list[str]:
        """The word for each row of logits."""
        confidence, best = torch.softmax(logits / self.temperature[name], dim=1).max(dim=1)
        pairs = zip(confidence.tolist(), best.tolist(), strict=True)
        return [WORDS[name][row] if sure >= MIN_CONFIDENCE else UNKNOWN for sure, row in pairs]


def to_pictures(frames: np.ndarray) -> Tensor:
    """Frames `n h w 3` in [0, 1] as pictures `n 3 h w`."""
    return rearrange(torch.from_numpy(np.ascontiguousarray(frames, np.float32)), "n h w c -> n c h w")


def to_input(pictures: Tensor) -> Tensor:
    """Pictures `n 3 h w` as the network takes them, `n 3 64 64`."""
    return F.interpolate(pictures, (SIDE, SIDE), mode="area")


def describe(mask: np.ndarray, phase: np.ndarray, **names: str) -> Reading:
    """A reading from one frame's mask in [0, 1], the cosine and sine of its phase, and its names."""
    area = float(mask.mean())
    x = y = math.nan
    if area >= MIN_AREA:
        rows, columns = (np.indices(mask.shape) + 0.5) * (SIZE / MASK_SIDE)
        x, y = float((columns * mask).sum() / mask.sum()), float((rows * mask).sum() / mask.sum())
    cos, sin = (float(part) for part in phase)
    turns = math.atan2(sin, cos) / (2 * math.pi) % 1
    steadiness = min(1.0, math.hypot(cos, sin))
    return Reading(**names, x=x, y=y, area=area, phase=turns, steadiness=steadiness, mask=mask > 0.5)
