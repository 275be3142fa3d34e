"""The pairs of a study: two methods' videos of the same edit, from two batches or from two folders of videos."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

# What browsers play, and their media types.
KINDS = {".mp4": "video/mp4", ".webm": "video/webm"}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two videos of one edit.

    Args:
        name: of the edit, the same for both methods.
        prompt: what both should show; "" if it is not known.
        a, b: the videos of the two methods.
    """

    name: str
    prompt: str
    a: Path
    b: Path


def find_pairs(a: Path, b: Path) -> list[Pair]:
    """The edits that both methods have, by name.

    Args:
        a, b: a batch's folder each, or a folder of videos whose names agree; a `prompts.json` in it, as `--export
            vbench` writes it, has their prompts.

    Raises:
        InputError: a folder holds no videos, or the two have no edit in common.
    """
    found = [list_videos(folder) for folder in (a, b)]
    names = [name for name in found[0] if name in found[1]]
    if not names:
        raise InputError(
            got=f"no edit that is both in {a} ({len(found[0])} videos) and in {b} ({len(found[1])})",
            expected="two batches of one list, or two folders with videos of the same names",
            mend="Run both methods on the same list; in folders of videos, name those alike that belong together.",
        )
    pairs = []
    for name in names:
        (prompt_a, video_a), (prompt_b, video_b) = (videos[name] for videos in found)
        pairs.append(Pair(name=name, prompt=prompt_a or prompt_b, a=video_a, b=video_b))
    return pairs


def list_videos(folder: Path) -> dict[str, tuple[str, Path]]:
    """The videos of a folder: name to prompt and path.

    Raises:
        InputError: there are none.
    """
    listed = folder / "results.csv"
    found = read_results(listed) if listed.is_file() else read_folder(folder)
    if not found:
        raise InputError(
            got=f"{folder} without a video",
            expected=f"a batch's folder with results.csv, or a folder with {' or '.join(KINDS)} files",
            mend="Check the path. A batch of pictures (--format png) has no videos that browsers play.",
        )
    return found


def read_results(path: Path) -> dict[str, tuple[str, Path]]:
    """The videos of a batch that are there.

    Raises:
        InputError: the table is of something else.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if kind_of(path.parent / (row["video"] or "")) in KINDS]
        found = {f"{row['job']}/{row['type']}": (row["edit"], path.parent / row["video"]) for row in rows}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise InputError(
            got=f"{path}, which is no table of a batch ({error!r})",
            expected="the results.csv that a batch writes",
            mend="Remove it, if the folder is one of videos, or run the batch again.",
        ) from error
    return {name: (prompt, video) for name, (prompt, video) in found.items() if video.is_file()}


def kind_of(path: Path) -> str:
    """The ending of a file, in lower case."""
    return path.suffix.lower()


def read_folder(folder: Path) -> dict[str, tuple[str, Path]]:
    """The videos of a folder and its folders."""
    prompts: Mapping[str, str] = {}
    if (folder / "prompts.json").is_file():
        try:
            prompts = {**json.loads((folder / "prompts.json").read_text(encoding="utf-8"))}
        except (TypeError, ValueError) as error:
            raise InputError(
                got=f"{folder / 'prompts.json'}, which is no JSON of names and prompts ({error})",
                expected="prompts by the names of the videos",
                mend="Mend it, or remove it.",
            ) from error
    videos = (path for path in folder.rglob("*") if kind_of(path) in KINDS and path.name[0] != ".")
    files = sorted(videos) if folder.is_dir() else []
    names = {path: path.relative_to(folder).as_posix() for path in files}
    return {names[path].rpartition(".")[0]: (str(prompts.get(names[path], "")), path) for path in files}


def study_id(pairs: Sequence[Pair]) -> str:
    """A name for a study, by its videos' bytes: answers of another one are told by it."""
    total = hashlib.sha256()
    for pair in pairs:
        total.update(pair.name.encode("utf-8", "replace"))
        for path in (pair.a, pair.b):
            total.update(path.read_bytes())
    return total.hexdigest()[:12]
