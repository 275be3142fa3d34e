"""The stills that the model is trained on: rendered once, with captions, then cached."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import numpy as np

from ..captions import caption
from ..scene import Scene, render
from ..stills import SEED, random_scene
from .paths import CACHE

NUM_STILLS, CHUNK = 32_000, 500
CAPTIONS_PER_STILL = 4
PICTURES, CAPTIONS = CACHE / "stills.npy", CACHE / "captions.txt"


def describe_chunk(index: int) -> list[tuple[Scene, list[str]]]:
    """The scenes of one chunk, and the captions of each."""
    rng = np.random.default_rng([SEED, index])
    scenes = [random_scene(rng) for _ in range(CHUNK)]
    return [(scene, [caption(scene, rng) for _ in range(CAPTIONS_PER_STILL)]) for scene in scenes]


def make_chunk(index: int) -> tuple[np.ndarray, list[list[str]]]:
    """The pictures of one chunk, uint8 `n h w 3`, and their captions."""
    described = describe_chunk(index)
    pictures = [np.round(render(scene) * 255).astype(np.uint8) for scene, _ in described]
    return np.stack(pictures), [captions for _, captions in described]


def draw_stills(count: int) -> tuple[np.ndarray, list[list[str]]]:
    """The first stills of the training, uint8 `n h w 3`, and the captions of each; drawn by one process per core."""
    with ProcessPoolExecutor() as pool:
        chunks = list(pool.map(make_chunk, range(-(-count // CHUNK))))
    rows = [row for _, captions in chunks for row in captions]
    return np.concatenate([pictures for pictures, _ in chunks])[:count], rows[:count]


def load_stills() -> tuple[np.ndarray, list[list[str]]]:
    """All stills of the training, uint8 `n h w 3`, and the captions of each."""
    if not CAPTIONS.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        pictures, rows = draw_stills(NUM_STILLS)
        np.save(PICTURES, pictures)
        CAPTIONS.write_text("\n".join("\t".join(row) for row in rows), encoding="utf-8")
    rows = CAPTIONS.read_text(encoding="utf-8").split("\n")
    return np.load(PICTURES, mmap_mode="r"), [row.split("\t") for row in rows]


def first_stills(count: int) -> tuple[np.ndarray, list[list[str]]]:
    """The first stills of the training: from the cache if there is one, or drawn, which is quick for a few."""
    if not CAPTIONS.exists():
        return draw_stills(count)
    pictures, rows = load_stills()
    return np.array(pictures[:count]), rows[:count]
