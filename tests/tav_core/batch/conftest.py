"""A small batch: two clips with edits, on a tiny model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tav_core.batch.driver import Batch
from tav_core.batch.manifest.read import read_manifest
from tav_core.batch.recipe import Modes, Recipe
from tav_core.sampling.config import EditConfig
from tav_core.tuning.config import TuneConfig
from tav_core.video.config import ClipConfig
from tav_core.video.write import write_video

LIST = """clip,prompt,edit,type,seed
cat.mp4,a cat runs,a dog runs,object,
cat.mp4,a cat runs,"a cat runs, sketch",style,7
car.mp4,a car,a red car,,
"""


@pytest.fixture(scope="session")
def place(tmp_path_factory, sd1, write_folder):
    """A folder with a tiny model, two clips, a mask and a list."""
    place = tmp_path_factory.mktemp("batch")
    write_folder(sd1, place / "model")
    for seed, name in enumerate(("cat", "car")):
        clip = np.random.default_rng(seed).random((5, 64, 64, 3), dtype=np.float32)
        write_video(place / f"{name}.mp4", clip, fps=8)
    mask = np.zeros((1, 64, 64, 3), np.float32)
    mask[:, 16:48, 16:48] = 1
    write_video(place / "mask", mask, fps=8)
    (place / "list.csv").write_text(LIST)
    return place


SMALL = ClipConfig(num_frames=3, width=64, height=64)


@pytest.fixture
def make_batch(place, tmp_path):
    """A batch of a list of the place: make_batch(recipe's settings)."""

    def make(listed="list.csv", out="out", **settings):
        recipe = Recipe(
            model=str(place / "model"),
            modes=Modes(threads=1, format="png"),
            tuning=TuneConfig(num_steps=2, memory="speed", save_every=1),
            sampling=EditConfig(num_steps=2),
            flow=False,
        )
        jobs = read_manifest(str(place / listed), defaults=SMALL)
        return Batch(jobs=jobs, recipe=dataclasses.replace(recipe, **settings), out=tmp_path / out)

    return make


def contents(out):
    """The bytes of all results of a batch, by name: what must be equal however it was run."""
    kept = ("motion.safetensors", "trajectory.safetensors", "scores.json")
    files = [path for path in (out / "jobs").rglob("*") if path.name in kept or path.parent.parent.name == "edits"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files if path.is_file()}
