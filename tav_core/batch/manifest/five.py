"""FiVE-Bench as it is downloaded (github.com/MinghanLi/FiVE-Bench, arXiv 2503.13684): six kinds of edits.

edit_prompt/edit1_FiVE.json ... edit6_FiVE.json    video_name, save_dir, source_prompt, target_prompt
images/0001_bus/00001.jpg, or videos/0001_bus.mp4
bmasks/0001_bus/00001.jpg                          what the edit changes, for the scores outside it
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ...errors import ManifestError
from .csv_file import read_text
from .rows import Problems, Row

KINDS = {
    "1": "rigid-object",
    "2": "non-rigid-object",
    "3": "colour",
    "4": "material",
    "5": "addition",
    "6": "removal",
}
NEEDED = ("video_name", "source_prompt", "target_prompt")


def read_five(folder: Path, problems: Problems) -> list[Row]:
    """The rows of all lists in the folder.

    Raises:
        ManifestError: there is none.
    """
    lists = sorted((folder / "edit_prompt").glob("edit*_FiVE.json"))
    if not lists:
        raise ManifestError(
            got=f"{folder} without edit_prompt/edit1_FiVE.json",
            expected="the data of FiVE-Bench, unpacked",
            mend="Give the folder that holds edit_prompt and images.",
        )
    return [row for path in lists for row in read_list(folder, path, problems)]


def read_list(folder: Path, path: Path, problems: Problems) -> list[Row]:
    """The rows of one kind of edits."""
    try:
        listed = json.loads(read_text(path))
    except ValueError as error:
        problems.add(path.name, f"no JSON ({error})")
        return []
    entries = list(listed.values()) if isinstance(listed, dict) else listed
    rows = []
    for number, entry in enumerate(entries if isinstance(entries, list) else [], start=1):
        where = f"{path.name} entry {number}"
        missing = [name for name in NEEDED if not isinstance(entry, dict) or not entry.get(name)]
        if missing:
            problems.add(where, f"no {missing[0]}")
        else:
            rows.append(Row(where=where, values=describe(folder, entry, path)))
    return rows


def describe(folder: Path, entry: dict[str, Any], path: Path) -> dict[str, object]:
    """One edit's values."""
    name = str(entry["video_name"])
    frames = folder / "images" / name
    clip = frames if frames.is_dir() else folder / "videos" / f"{name}.mp4"
    given = str(entry.get("editing_type_id", ""))
    kind = KINDS.get(given) or KINDS.get("".join(re.findall(r"^edit(\d)", path.name)), "edit")
    values: dict[str, object] = {
        "clip": str(clip if clip.exists() else frames),
        "prompt": without_marks(entry["source_prompt"]),
        "edit": without_marks(entry["target_prompt"]),
        "name": name,
        "type": kind,
    }
    if (folder / "bmasks" / name).is_dir():
        values["score_mask"] = str(folder / "bmasks" / name)
    return values


def without_marks(prompt: str) -> str:
    """A prompt without the brackets that mark the words which an edit changes."""
    return " ".join(re.sub(r"[\[\]]", "", str(prompt)).split())
