"""Jobs: a clip with all of its edits, made from rows whose values are checked here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import TavError
from ...paths import as_file_name, new_name
from ...prompts import read_weights
from ...video.config import ClipConfig
from .rows import NUMBERS, Problems, Row

READ_BY = tuple(field.name for field in dataclasses.fields(ClipConfig))
LARGEST = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One edit of a clip.

    Args:
        type: its name among the clip's edits, and of its file: what the list calls it, else made from the prompt.
        prompt: what the video is to show.
        negative: what it should not show.
        seed: of the sampling; -1 for the batch's.
        mask: a file that says where the edit may change the clip; "" for everywhere.
        score_mask: a file that says where a change is wanted, for the scores alone; "" for the mask.
    """

    type: str
    prompt: str
    negative: str = ""
    seed: int = -1
    mask: str = ""
    score_mask: str = ""


@dataclass(frozen=True, kw_only=True)
class ClipJob:
    """A clip with its edits: what one job renders.

    Args:
        name: for people; need not be unique.
        folder: the name of its folder, which is.
        split: the part of a data set that it belongs to; "" for none.
        clip: the path of the video or of its folder of pictures.
        prompt: what it shows.
        config: how it is read.
        edits: in the list's order.
        where: its first row.
        has_masks: whether edits that were left out of this run have masks: its inversion must not differ.
    """

    name: str
    folder: str
    split: str
    clip: str
    prompt: str
    config: ClipConfig
    edits: tuple[Edit, ...]
    where: str = ""
    has_masks: bool = False

    def as_json(self) -> dict[str, Any]:
        """The job as plain values, for `from_json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ClipJob:
        """What `as_json` gave."""
        edits = tuple(Edit(**edit) for edit in values["edits"])
        return cls(**{**values, "config": ClipConfig(**values["config"]), "edits": edits})


def build_jobs(rows: Sequence[Row], *, base: Path, defaults: ClipConfig, problems: Problems) -> list[ClipJob]:
    """One job per clip, in the order of the list; mistakes are noted.

    Args:
        base: the folder that paths in the list start from.
        defaults: how a clip is read where the list does not say it.
    """
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    configs: dict[tuple[Any, ...], ClipConfig] = {}
    for row in rows:
        config = read_config(row, defaults, problems)
        missing = [name for name in ("clip", "prompt", "edit") if name in row.values and not row.text(name)]
        for name in missing:
            problems.add(row.where, f"the {name} is empty")
        if config is None or missing or not all(name in row.values for name in ("clip", "prompt", "edit")):
            continue
        # One clip may be spelled in several ways, such as with its folder in front.
        clip = locate(base, row.text("clip"))
        key = (clip, row.text("prompt"), row.text("name"), row.text("split"), config)
        grouped.setdefault(key, []).append(row)
        configs[key] = config
    return [build_job(group, configs[key], base, problems) for key, group in grouped.items()]


def build_job(rows: Sequence[Row], config: ClipConfig, base: Path, problems: Problems) -> ClipJob:
    """The job of the rows of one clip."""
    first, clip = rows[0], rows[0].text("clip")
    path = locate(base, clip)
    if not path.exists():
        problems.add(first.where, f"no clip {path}")
    check_prompt(first, "prompt", problems)
    name = first.text("name") or path.stem or path.name
    seen: dict[tuple[object, ...], str] = {}
    edits: list[Edit] = []
    for row in rows:
        edit = build_edit(row, base, problems, taken=[each.type for each in edits])
        same = (row.text("type"), edit.prompt, edit.negative, edit.seed, edit.mask)
        if same in seen:
            problems.add(row.where, f"the same edit as in {seen[same]}")
        seen[same] = row.where
        edits.append(edit)
    # A data set that is moved keeps its folders of results.
    known_as = path.relative_to(base).as_posix() if path.is_relative_to(base) else clip
    told = {each: first.text(each) for each in ("prompt", "name", "split")}
    identity = {"clip": known_as, **told, "config": dataclasses.asdict(config)}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode("utf-8", "replace")).hexdigest()
    return ClipJob(
        name=name,
        folder=f"{as_file_name(name, empty='clip')}-{digest[:8]}",
        split=first.text("split"),
        clip=str(path),
        prompt=first.text("prompt"),
        config=config,
        edits=tuple(edits),
        where=first.where,
    )


def build_edit(row: Row, base: Path, problems: Problems, *, taken: Sequence[str]) -> Edit:
    """The edit of a row; a second one of the same type gets a number."""
    check_prompt(row, "edit", problems)
    check_prompt(row, "negative", problems)
    kind = new_name(as_file_name(row.text("type") or row.text("edit")), taken)
    masks = {name: str(locate(base, row.text(name))) for name in ("mask", "score_mask") if row.text(name)}
    for name, path in masks.items():
        if not Path(path).exists():
            problems.add(row.where, f"no {name} {path}")
    seed = whole_number(row, "seed", problems)
    if seed is not None and not 0 <= seed <= LARGEST:
        problems.add(row.where, f"seed {seed}; expected 0 to {LARGEST}")
    own_seed = -1 if seed is None else seed
    return Edit(type=kind, prompt=row.text("edit"), negative=row.text("negative"), seed=own_seed, **masks)


def read_config(row: Row, defaults: ClipConfig, problems: Problems) -> ClipConfig | None:
    """How the clip of a row is read; None if that cannot be."""
    given: dict[str, Any] = {}
    before = len(problems.found)
    for name in READ_BY:
        value = whole_number(row, name, problems) if name in NUMBERS else row.text(name) or None
        if value is not None:
            given[name] = value
    if len(problems.found) > before:
        return None
    try:
        return dataclasses.replace(defaults, **given)
    except TavError as error:
        problems.add(row.where, f"{error.got}; expected {error.expected}")
        return None


def whole_number(row: Row, name: str, problems: Problems) -> int | None:
    """The number in a row; None if there is none, or what is there is no whole number."""
    text = row.text(name)
    if not text:
        return None
    # Spreadsheets may write 8 as 8.0.
    digits = text.removesuffix(".0")
    if digits.isascii() and digits.isdigit():
        return int(digits)
    problems.add(row.where, f"{name} {text!r}; expected a whole number, 0 or more")
    return None


def check_prompt(row: Row, name: str, problems: Problems) -> None:
    """Notes a prompt that cannot be encoded by any model."""
    try:
        read_weights(row.text(name))
    except TavError as error:
        problems.add(row.where, f"{error.got}; expected {error.expected}")


def locate(base: Path, text: str) -> Path:
    """A path in a list: as it is, if it is a whole one, else from the list's own folder."""
    path = Path(text).expanduser()
    return path if path.is_absolute() else base / path
