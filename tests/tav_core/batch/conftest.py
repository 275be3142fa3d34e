"""A small batch: two clips with edits, on a tiny model."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from tav_core.batch.driver import Batch, run_batch
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
SIDE = 32


@pytest.fixture(scope="session")
def place(tmp_path_factory, small, write_folder):
    """A folder with a tiny model, two clips, a mask and a list."""
    place = tmp_path_factory.mktemp("batch")
    write_folder(small, place / "model")
    for seed, name in enumerate(("cat", "car")):
        clip = np.random.default_rng(seed).random((5, SIDE, SIDE, 3), dtype=np.float32)
        write_video(place / f"{name}.mp4", clip, fps=8)
    mask = np.zeros((1, SIDE, SIDE, 3), np.float32)
    mask[:, SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4] = 1
    write_video(place / "mask", mask, fps=8)
    (place / "list.csv").write_text(LIST)
    return place


SMALL = ClipConfig(num_frames=3, width=SIDE, height=SIDE)


@pytest.fixture(scope="session")
def make_batch_in(place):
    """A batch of a list of the place with its results in a folder: make_batch_in(folder, recipe's settings)."""

    def make(out, listed="list.csv", **settings):
        recipe = Recipe(
            model=str(place / "model"),
            modes=Modes(threads=1, format="png"),
            tuning=TuneConfig(num_steps=2, memory="speed", save_every=1),
            sampling=EditConfig(num_steps=2),
            flow=False,
        )
        jobs = read_manifest(str(place / listed), defaults=SMALL)
        return Batch(jobs=jobs, recipe=dataclasses.replace(recipe, **settings), out=out)

    return make


@pytest.fixture
def make_batch(make_batch_in, tmp_path):
    """A batch of a list of the place: make_batch(recipe's settings)."""

    def make(listed="list.csv", out="out", **settings):
        return make_batch_in(tmp_path / out, listed, **settings)

    return make


@pytest.fixture(scope="session")
def finished(make_batch_in, tmp_path_factory):
    """The results of `make_batch()` once it was run; nothing may be changed in them."""
    batch = make_batch_in(tmp_path_factory.mktemp("finished") / "out")
    assert not run_batch(batch).failures
    return batch.out


@pytest.fixture
def finished_batch(finished, make_batch):
    """`make_batch()` that was run already: a copy of the results, so that a test may change them."""
    batch = make_batch()
    shutil.copytree(finished, batch.out)
    return batch


def contents(out):
    """The bytes of all results of a batch, by name: what must be equal however it was run."""
    kept = ("motion.safetensors", "trajectory.safetensors", "scores.json")
    files = [path for path in (out / "jobs").rglob("*") if path.name in kept or path.parent.parent.name == "edits"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files if path.is_file()}
