"""What the cascade learns from: stills, clips, dense clips and sharp clips, drawn once and kept in files.

n  examples of a file      f  frames      k  crops of a frame      h w  96 x 96 pixels, or 384 x 384 before cropping
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from ...world.captions import caption
from ...world.stills import random_scene
from ...world.world import SIZE, render
from ..moving_scenes import NUM_DENSE, NUM_FRAMES, MovingScene, frame_times, moving_caption, random_moving_scene
from .settings import CACHE, SEED, Amounts

SCALE, NUM_SHARP, NUM_CROPS = 4, 8, 6
CAPTIONS = 3
# The frames of a sharp clip are neighbours at one of these rates, in frames per clip.
RATES = (NUM_FRAMES, NUM_DENSE)
# How many examples a file holds: about a second of drawing, or a few.
CHUNKS = {"stills": 500, "sharp": 8, "clips": 50, "dense": 20}
Parts = dict[str, np.ndarray]
Chunk = tuple[Parts, list[list[str]]]


def to_bytes(pictures: np.ndarray) -> np.ndarray:
    """Pictures in [0, 1] as uint8."""
    return np.round(pictures * 255).astype(np.uint8)


def stills_chunk(rng: np.random.Generator, count: int) -> Chunk:
    """Single pictures, `frames` `n 1 h w 3`."""
    scenes = [random_scene(rng) for _ in range(count)]
    pictures = np.stack([to_bytes(render(scene))[None] for scene in scenes])
    return {"frames": pictures}, [[caption(scene, rng) for _ in range(CAPTIONS)] for scene in scenes]


def clips_chunk(rng: np.random.Generator, count: int, num_frames: int = NUM_FRAMES) -> Chunk:
    """Whole clips, `frames` `n f h w 3`, with captions for both directions of time."""
    scenes = [random_moving_scene(rng) for _ in range(count)]
    pictures = np.stack([to_bytes(scene.frames(frame_times(num_frames))) for scene in scenes])
    return {"frames": pictures}, both_ways(scenes, rng)


def dense_chunk(rng: np.random.Generator, count: int) -> Chunk:
    """Whole clips of 61 frames."""
    return clips_chunk(rng, count, NUM_DENSE)


def sharp_chunk(rng: np.random.Generator, count: int) -> Chunk:
    """Neighbouring frames at both sizes: `frames` `n f h w 3`, and of the large ones `crops` `n k f h w 3`.

    `corners`, `n k 2`, are the rows and columns of the frames at which the crops begin.
    """
    scenes = [random_moving_scene(rng, style="plain") for _ in range(count)]
    parts: dict[str, list[np.ndarray]] = {"frames": [], "crops": [], "corners": []}
    for scene in scenes:
        rate = int(rng.choice(RATES))
        first = int(rng.integers(rate - NUM_SHARP + 1))
        times = frame_times(rate)[first : first + NUM_SHARP]
        large = to_bytes(scene.frames(times, scale=SCALE))
        corners = random_corners(scene, times, rng)
        side = SIZE // SCALE
        rows = [(slice(y * SCALE, (y + side) * SCALE), slice(x * SCALE, (x + side) * SCALE)) for y, x in corners]
        parts["frames"].append(to_bytes(scene.frames(times)))
        parts["crops"].append(np.stack([large[:, down, across] for down, across in rows]))
        parts["corners"].append(corners)
    return {name: np.stack(part) for name, part in parts.items()}, captions_of(scenes, rng)


def random_corners(scene: MovingScene, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The corners of crops, `k 2`, rows and columns in pixels of the small frames: half of them near the shape."""
    side = SIZE // SCALE
    x, y = scene.path(times[len(times) // 2 :][:1])[0]
    near = np.array([y, x]) - side / 2 + rng.uniform(-18, 18, (NUM_CROPS // 2, 2))
    anywhere = rng.uniform(0, SIZE - side, (NUM_CROPS - len(near), 2))
    return np.concatenate([near, anywhere]).clip(0, SIZE - side).astype(np.int64)


def both_ways(scenes: list[MovingScene], rng: np.random.Generator) -> list[list[str]]:
    """Some captions of each scene, then as many of the scene played backwards."""
    rows, back = captions_of(scenes, rng), captions_of([scene.backwards() for scene in scenes], rng)
    return [[*row, *other] for row, other in zip(rows, back, strict=True)]


def captions_of(scenes: list[MovingScene], rng: np.random.Generator) -> list[list[str]]:
    """Some captions of each scene."""
    return [[moving_caption(scene, rng) for _ in range(CAPTIONS)] for scene in scenes]


KINDS: dict[str, Callable[[np.random.Generator, int], Chunk]] = {
    "stills": stills_chunk,
    "sharp": sharp_chunk,
    "clips": clips_chunk,
    "dense": dense_chunk,
}


def make_chunk(kind: str, index: int, count: int, path: Path) -> None:
    """Draws one file of examples, unless it is there."""
    if path.exists():
        return
    cv2.setNumThreads(1)
    parts, captions = KINDS[kind](np.random.default_rng([SEED, [*KINDS].index(kind), index]), count)
    path.with_suffix(".json").write_text(json.dumps(captions), encoding="utf-8")
    kept = path.with_suffix(".tmp")
    with kept.open("wb") as file:
        np.savez(file, **parts)
    kept.replace(path)


def chunk_paths(kind: str, amounts: Amounts) -> list[tuple[Path, int]]:
    """The files of a kind, and how many examples each holds."""
    total, chunk = getattr(amounts, kind), CHUNKS[kind]
    return [(CACHE / kind / f"{start:06}.npz", min(chunk, total - start)) for start in range(0, total, chunk)]


def draw_all(kind: str, amounts: Amounts, *, processes: int) -> None:
    """Draws the files of a kind that are not there yet."""
    (CACHE / kind).mkdir(parents=True, exist_ok=True)
    paths = chunk_paths(kind, amounts)
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(make_chunk, *zip(*((kind, i, n, path) for i, (path, n) in enumerate(paths)), strict=True)))


def load_parts(kind: str, name: str, amounts: Amounts) -> np.ndarray:
    """One part of all examples of a kind, in order."""
    loaded = []
    for path, _ in chunk_paths(kind, amounts):
        with np.load(path) as parts:
            loaded.append(parts[name])
    return np.concatenate(loaded)


def load_captions(kind: str, amounts: Amounts) -> list[list[str]]:
    """The captions of all examples of a kind, in order."""
    files = [path.with_suffix(".json") for path, _ in chunk_paths(kind, amounts)]
    return [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
