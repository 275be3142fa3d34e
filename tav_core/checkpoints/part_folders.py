"""The weights in a folder of diffusers or transformers: one file or several (shards), in any variant.

    diffusion_pytorch_model.safetensors                  one file; transformers names it model, or pytorch_model
    diffusion_pytorch_model.fp16.safetensors             a variant: fp16, bf16, non_ema ...
    diffusion_pytorch_model-00001-of-00002.safetensors   a shard, listed in
    diffusion_pytorch_model.safetensors.index.json       this index

The variant's place in the names of shards and indexes has changed from version to version; all of them are known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import CheckpointError
from .weight_files import SUFFIXES, WeightFile, open_weights

STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
NAME = re.compile(
    rf"({'|'.join(STEMS)})(\.[\w-]+?)?(?:-(\d+)-of-(\d+))?(\.[\w-]+?)?\.(safetensors|bin)"
    r"((?:\.[\w-]+)?\.index(?:\.[\w-]+)?\.json)?"
)
# Full precision first; averaged weights (EMA) are what a model is sampled with, so those without are the last.
VARIANTS = ("", "ema", "fp32", "fp16", "bf16")
WITHOUT_EMA = "non_ema"
FORMATS = ("safetensors", "bin")
INCOMPLETE = "Get the complete folder again."


@dataclass(kw_only=True, eq=False)
class Found:
    """The files of one variant in one format.

    Args:
        whole: the one file that holds it.
        index: the file that lists its shards.
        shards: one of its shards for each number of shards that the names state.
    """

    whole: Path | None = None
    index: Path | None = None
    shards: dict[int, Path] = field(default_factory=dict)


def open_folder(folder: Path) -> WeightFile:
    """Opens the weights in one part's folder: safetensors before pickles, full precision before other variants.

    Raises:
        CheckpointError: there are none, shards are missing, or a file is damaged.
    """
    found = list_weights(folder)
    if not found:
        raise _no_weights(folder)
    refusal = None
    for key in sorted(found, key=_rank):
        try:
            files = find_files(folder, found[key])
        except CheckpointError as error:
            refusal = refusal or error
        else:
            return open_shards(folder, files)
    assert refusal is not None
    raise refusal


def list_weights(folder: Path) -> dict[tuple[str, str, str], Found]:
    """What a folder holds, by stem, variant and format."""
    found: dict[tuple[str, str, str], Found] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = NAME.fullmatch(path.name)
        if match is None or not path.is_file():
            continue
        stem, early, number, count, late, suffix, index = match.groups()
        of_index = (index or "").removesuffix(".json").replace(".index", "", 1)
        variant = (early or late or of_index).removeprefix(".")
        files = found.setdefault((stem, variant, suffix), Found())
        if index:
            files.index = path
        elif number:
            files.shards[int(count)] = path
        else:
            files.whole = path
    return found


def find_files(folder: Path, found: Found) -> list[Path]:
    """The files to read: the whole one, else the shards that the index lists, else those that are numbered.

    Raises:
        CheckpointError: a shard is missing, or the index is not one.
    """
    if found.whole:
        return [found.whole]
    sets = [read_index(found.index)] if found.index else [_number(*each) for each in found.shards.items()]
    missing = [[name for name in names if not (folder / name).is_file()] for names in sets]
    fewest = missing.index(min(missing, key=len))
    if lost := missing[fewest]:
        raise CheckpointError(
            got=f"{folder} without {', '.join(lost[:3])}{' ...' if len(lost) > 3 else ''}, "
            f"{len(lost)} of the {len(sets[fewest])} files that its weights are split into",
            expected="all of them",
            mend=INCOMPLETE,
        )
    return [folder / name for name in sets[fewest]]


def _number(count: int, shard: Path) -> list[str]:
    """The names of all shards, by the name of one: "x-00002-of-00003.bin"."""
    start, end = re.split(r"-\d+(?=-of-)", shard.name, maxsplit=1)
    return [f"{start}-{number:05d}{end}" for number in range(1, count + 1)]


def read_index(path: Path) -> list[str]:
    """The names of the shards in an index.

    Raises:
        CheckpointError: it is no index, or leads out of its folder.
    """
    try:
        names = sorted(set(read_json(path)["weight_map"].values()))
        known = bool(names) and all(isinstance(name, str) and name == Path(name).name for name in names)
    except (KeyError, TypeError, AttributeError):
        known = False
    if not known:
        raise CheckpointError(
            got=f"{path}, which cannot be read as an index of shards",
            expected="a weight_map that names files beside it",
            mend=INCOMPLETE,
        )
    return names


def open_shards(folder: Path, files: list[Path]) -> WeightFile:
    """Opens several files of tensors as if they were one.

    Raises:
        CheckpointError: one of them is damaged.
    """
    opened = [open_weights(file) for file in files]
    if len(opened) == 1:
        return opened[0]
    place = {name: file for file in opened for name in file.shapes}

    def fetch(names: Iterable[str]) -> dict[str, Tensor]:
        wanted: dict[int, list[str]] = {}
        for name in names:
            wanted.setdefault(id(place[name]), []).append(name)
        return {name: t for file in opened for name, t in file.fetch(wanted.get(id(file), ())).items()}

    return WeightFile(path=folder, shapes={name: file.shapes[name] for name, file in place.items()}, fetch=fetch)


def _rank(key: tuple[str, str, str]) -> tuple[Any, ...]:
    stem, variant, suffix = key
    known = VARIANTS.index(variant) if variant in VARIANTS else len(VARIANTS)
    return variant == WITHOUT_EMA, FORMATS.index(suffix), known, variant, STEMS.index(stem)


def _no_weights(folder: Path) -> CheckpointError:
    others = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    others = [name for name in others if name != "config.json"]
    holds = f"; it holds {', '.join(others[:3])}{' ...' if len(others) > 3 else ''}" if others else ""
    own = [name for name in others if name.lower().endswith(SUFFIXES)]
    mend = INCOMPLETE
    if len(own) == 1:
        name = STEMS[0] + Path(own[0]).suffix.lower()
        mend = f"If {own[0]} holds them, rename it to {name}. Else get the folder again."
    return CheckpointError(
        got=f"{folder} without weights{holds}",
        expected=f"{STEMS[0]}.safetensors, or .bin, or a variant of it, or model.safetensors for a text encoder",
        mend=mend,
    )


def read_json(path: Path) -> dict[str, Any]:
    """A config file.

    Raises:
        CheckpointError: it is not JSON, or not an object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            got=f"{path}, which cannot be read ({error})", expected="a JSON file", mend="Get the folder again."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(got=f"{path} without settings", expected="a JSON object", mend="Get the folder again.")
    return config
