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


def load_stills() -> tuple[np.ndarray, list[list[str]]]:
    """The training stills, uint8 `n h w 3`, and the captions of each."""
    if not CAPTIONS.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            chunks = list(pool.map(make_chunk, range(NUM_STILLS // CHUNK)))
        np.save(PICTURES, np.concatenate([pictures for pictures, _ in chunks]))
        lines = ["\t".join(row) for _, captions in chunks for row in captions]
        CAPTIONS.write_text("\n".join(lines), encoding="utf-8")
    rows = CAPTIONS.read_text(encoding="utf-8").split("\n")
    return np.load(PICTURES, mmap_mode="r"), [row.split("\t") for row in rows]
