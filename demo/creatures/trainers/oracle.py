"""Trains the oracle on renders: `python -m demo.creatures.trainers.oracle`, and its twin with `--second`."""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from ...trainers.common import Log, learning_rate, set_learning_rate
from ..oracle.network import WORDS, OracleNet
from ..oracle.reading import ORACLES
from ..oracle.training_pictures import render_chunk, spoil, uncertain
from .device import DEVICE, prepare_device
from .paths import CACHE, LOG

NUM_PICTURES, CHUNK = 36_000, 500
# Pictures that no step sees, for the temperatures.
NUM_HELD = 1000
NUM_STEPS, BATCH, PEAK_RATE = 3000, 64, 2e-3
MIXED_SHARE, UNCERTAIN_SHARE = 0.15, 0.08
SMOOTHING = 0.02
Targets = dict[str, Tensor]


def load_pictures(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pictures, masks and labels to learn from; rendered once, then cached."""
    kept = CACHE / f"oracle_{seed}.npz"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            seeds = [seed * 10_000 + index for index in range(NUM_PICTURES // CHUNK)]
            chunks = list(pool.map(render_chunk, seeds, [CHUNK] * len(seeds)))
        parts = [np.concatenate(part) for part in zip(*chunks, strict=True)]
        np.savez(kept, **dict(zip(("pictures", "masks", "labels"), parts, strict=True)))
    with np.load(kept) as stored:
        return stored["pictures"], stored["masks"], stored["labels"]


def to_targets(masks: np.ndarray, labels: np.ndarray) -> Targets:
    """What the network should say: soft words `n words`, the mask `n 32 32`, the phase `n 2`."""
    labels = torch.from_numpy(labels)
    words = {name: F.one_hot(labels[:, column].long(), len(WORDS[name])).float() for column, name in enumerate(WORDS)}
    turns = 2 * torch.pi * labels[:, -1]
    return {**words, "mask": torch.from_numpy(masks).float() / 255, "phase": torch.stack([turns.cos(), turns.sin()], 1)}


def mix(pictures: Tensor, targets: Targets, count: int) -> None:
    """Blends the first `count` pictures with the last ones, in place: half of each is nothing certain."""
    share = torch.empty(count, device=pictures.device).uniform_(0.35, 0.65)
    for part in (pictures, *targets.values()):
        weight = share.view(-1, *[1] * (part.dim() - 1))
        part[:count] = weight * part[:count] + (1 - weight) * part[-count:]


def blank_out(pictures: Tensor, targets: Targets, count: int, rng: np.random.Generator) -> None:
    """Puts pictures that show nothing in the place of `count` pictures, in place."""
    rows = slice(len(pictures) // 2, len(pictures) // 2 + count)
    pictures[rows] = uncertain(pictures[rows], rng)
    for name, words in WORDS.items():
        targets[name][rows] = 1 / len(words)
    targets["mask"][rows] = 0
    targets["phase"][rows] = 0


def loss_of(said: dict[str, Tensor], targets: Targets) -> Tensor:
    """Cross entropies of the words and the mask, and the squared error of the phase."""
    words = sum(F.cross_entropy(said[name], targets[name], label_smoothing=SMOOTHING) for name in WORDS)
    mask = F.binary_cross_entropy_with_logits(said["mask"], targets["mask"])
    return words + 2 * mask + 2 * F.mse_loss(said["phase"], targets["phase"])


def make_batch(data: tuple[np.ndarray, ...], chosen: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Targets]:
    """Spoilt pictures, `n 3 64 64`, and what should be said of them; some are mixtures, some show nothing."""
    pictures, masks, labels = (part[chosen] for part in data)
    pictures = rearrange(torch.from_numpy(pictures).to(DEVICE), "n h w c -> n c h w")
    spoilt = spoil(pictures.float() / 255, rng)
    targets = {name: part.to(DEVICE) for name, part in to_targets(masks, labels).items()}
    mix(spoilt, targets, round(MIXED_SHARE * len(chosen)))
    blank_out(spoilt, targets, round(UNCERTAIN_SHARE * len(chosen)), rng)
    return spoilt.contiguous(memory_format=torch.channels_last), targets


def train(seed: int, goal: Path, num_steps: int) -> None:
    """Trains an oracle and writes it."""
    prepare_device()
    torch.manual_seed(seed)
    rng, data = np.random.default_rng(seed), load_pictures(seed)
    net = OracleNet().to(DEVICE, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    log, losses = Log(f"oracle {seed}", num_steps, LOG), []
    for step in range(num_steps):
        set_learning_rate(optimizer, learning_rate(step, num_steps, PEAK_RATE, 100))
        pictures, targets = make_batch(data, rng.integers(NUM_HELD, len(data[0]), BATCH), rng)
        loss = loss_of(net(pictures), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        if (step + 1) % 100 == 0:
            log.write(step + 1, loss=float(torch.stack(losses[-100:]).mean()))
    net.eval()
    save(net, calibrate(net, data, rng), goal)


@torch.no_grad()
def calibrate(net: OracleNet, data: tuple[np.ndarray, ...], rng: np.random.Generator) -> dict[str, Tensor]:
    """One temperature per kind of word, which makes confidences on held-out pictures true (arXiv 1706.04599)."""
    pictures, targets = [], []
    for rows in np.array_split(np.arange(NUM_HELD), NUM_HELD // BATCH):
        batch, wanted = make_batch(data, rows, rng)
        pictures.append(net(batch))
        targets.append(wanted)
    candidates = torch.linspace(0.4, 3.0, 53)
    found = {}
    for name in WORDS:
        logits, wanted = (torch.cat([each[name] for each in part]) for part in (pictures, targets))
        losses = [F.cross_entropy(logits / temperature, wanted) for temperature in candidates]
        found[f"temperature.{name}"] = candidates[int(torch.stack(losses).argmin())].clone()
    return found


def save(net: OracleNet, temperatures: dict[str, Tensor], goal: Path) -> None:
    """Writes the weights in half precision, but the counts of the norms."""
    state = {name: value.cpu().contiguous() for name, value in net.state_dict().items()}
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file({**half, **temperatures}, goal)


def main() -> None:
    """Trains the oracle or its twin."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--second", action="store_true", help="the twin, which checks the first")
    parser.add_argument("--steps", type=int, default=NUM_STEPS)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train(2 if args.second else 1, ORACLES[args.second], args.steps)


if __name__ == "__main__":
    main()
