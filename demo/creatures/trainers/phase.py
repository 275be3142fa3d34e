"""Trains the network that reads phases, on the oracle's pictures: `python -m demo.creatures.trainers.phase`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from ...trainers.common import Log, learning_rate, set_learning_rate
from ..oracle.phase import WEIGHTS, PhaseNet, boxes, crop
from ..oracle.training_pictures import blockwise
from .device import DEVICE, prepare_device
from .oracle import NUM_HELD, load_pictures
from .paths import LOG

SEED = 1
NUM_STEPS, BATCH, PEAK_RATE, WARM_UP = 4000, 64, 2e-3, 100
LOG_EVERY = 500
# How far a crop is from the subject's true place and size.
SHIFT, SCALE = 0.03, (0.88, 1.14)
Data = tuple[np.ndarray, ...]


def uniform(low: float, high: float, *shape: int) -> Tensor:
    """Random numbers between two bounds, on `DEVICE`."""
    return torch.rand(*shape, device=DEVICE) * (high - low) + low


def roughen(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of all batches of pictures `n 3 96 96` with a blur, or with weakened detail as an autoencoder leaves it."""
    kind, side = rng.integers(4), pictures.shape[-1]
    if kind == 1:
        small = int(rng.integers(side // 3, side - side // 6))
        return F.interpolate(F.interpolate(pictures, (small, small), mode="area"), (side, side), mode="bilinear")
    return blockwise(pictures) if kind == 2 else pictures


def tint(crops: Tensor) -> Tensor:
    """Crops `n 3 h w` in tones that are a little off, and with noise."""
    count = len(crops)
    toned = (crops - 0.5) * uniform(0.8, 1.15, count, 1, 1, 1) + 0.5 + uniform(-0.06, 0.06, count, 3, 1, 1)
    return (toned + uniform(0, 0.05, count, 1, 1, 1) * torch.randn_like(crops)).clamp(0, 1)


def make_batch(data: Data, chosen: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Spoilt crops `n 3 64 64` around the subjects of some pictures, and their phases `n 2`."""
    pictures, masks, labels = (torch.from_numpy(part[chosen]).to(DEVICE) for part in data)
    squares, count = boxes(masks.float() / 255), len(chosen)
    moved = squares + F.pad(uniform(-SHIFT, SHIFT, count, 2), (0, 1))
    moved = moved * F.pad(uniform(*SCALE, count, 1), (2, 0), value=1.0)
    turns = 2 * torch.pi * labels[:, -1]
    spoilt = roughen(pictures.movedim(-1, 1).float() / 255, rng)
    return tint(crop(spoilt, moved)), torch.stack([turns.cos(), turns.sin()], 1)


@torch.no_grad()
def median_error(net: PhaseNet, data: Data, rng: np.random.Generator) -> float:
    """The median error in pictures that no step sees, in turns."""
    crops, truth = make_batch(data, np.arange(NUM_HELD), rng)
    read = torch.view_as_complex(net.eval()(crops).contiguous()) / torch.view_as_complex(truth)
    net.train()
    return float((read.angle().abs() / (2 * torch.pi)).median())


def train(goal: Path, num_steps: int = NUM_STEPS) -> None:
    """Trains the network and writes it in half precision."""
    prepare_device()
    torch.manual_seed(SEED)
    rng, data = np.random.default_rng(SEED), load_pictures(SEED)
    net = PhaseNet().to(DEVICE).train()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    log, losses = Log("phase", num_steps, LOG), []
    for step in range(num_steps):
        set_learning_rate(optimizer, learning_rate(step, num_steps, PEAK_RATE, WARM_UP))
        crops, truth = make_batch(data, rng.integers(NUM_HELD, len(data[0]), BATCH), rng)
        loss = F.mse_loss(net(crops), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        if (step + 1) % LOG_EVERY == 0:
            mean, losses = float(torch.stack(losses).mean()), []
            log.write(step + 1, loss=mean, error=median_error(net, data, rng))
    save(net.eval(), goal)


def save(net: PhaseNet, goal: Path) -> None:
    """Writes the weights in half precision, but the counts of the norms."""
    state = {name: value.cpu().contiguous() for name, value in net.state_dict().items()}
    save_file({name: part.half() if part.is_floating_point() else part for name, part in state.items()}, goal)


def main() -> None:
    """Trains the network into its place."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=NUM_STEPS)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train(WEIGHTS, args.steps)


if __name__ == "__main__":
    main()
