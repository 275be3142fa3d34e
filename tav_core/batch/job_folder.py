"""A job's folder: its files, which stages are done, how far it is, and its log.

    jobs/<name>-<hash>/
        motion.safetensors  trajectory.safetensors  edits/<type>.mp4  edits/<type>.jpg
        scores.json     the scores of each edit
        stages.json     the key of each stage that is done, the size of its file, its seconds and its peak memory
        status.json     what is being done now, for whoever watches
        inputs.json     hashes of the clip and the masks, with the sizes and times that the files had
        log.txt

Every file is replaced as a whole, so two processes that work on one job by mistake do its work twice and harm nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic_files import remove, whole_file
from ..errors import explain_write_failure

if TYPE_CHECKING:
    from .keys import JobKeys

Record = dict[str, Any]


class JobFolder:
    """The files of one job.

    Args:
        path: the folder, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.motion, self.trajectory = path / "motion.safetensors", path / "trajectory.safetensors"
        self.edits, self.scores = path / "edits", path / "scores.json"
        self.stages, self.status, self.log = path / "stages.json", path / "status.json", path / "log.txt"
        self.inputs = path / "inputs.json"
        # What is locked while a process works here.
        self.lock = path / "job"

    def video(self, kind: str, ending: str) -> Path:
        """The file of an edit, or its folder of pictures."""
        return self.edits / (kind if ending == "png" else f"{kind}.{ending}")

    def thumbnail(self, kind: str) -> Path:
        """A small picture of an edit."""
        return self.edits / f"{kind}.jpg"

    def state(self, key: str) -> Path:
        """The state of a tuning that is under way; another key's is another run's."""
        return self.path / f"tuning-{key[:8]}.safetensors"

    def remove_states(self) -> None:
        """Removes the states of tunings, which take six times the room of the motion."""
        for path in self.path.glob("tuning-*.safetensors"):
            remove(path)

    def read_stages(self) -> dict[str, Record]:
        """The records of the stages that were done, by "tune", "invert", "edit <type>", "scores <type>"."""
        return read_json(self.stages)

    def is_done(self, stage: str, key: str, file: Path) -> bool:
        """Whether a stage was done with this key, and its file is as it was left."""
        record = self.read_stages().get(stage, {})
        return isinstance(record, dict) and record.get("key") == key and record.get("size") == size_of(file)

    def is_scored(self, kind: str, key: str) -> bool:
        """Whether the scores of an edit are there: one file holds those of all, so its size tells nothing."""
        return read_json(self.scores).get(kind, {}).get("key") == key

    def left(self, keys: JobKeys, ending: str, asked: Collection[str]) -> list[str]:
        """The stages that are still to do, of those asked for."""
        missing = [] if self.is_done("tune", keys.tune, self.motion) or "tune" not in asked else ["tune"]
        if "invert" in asked and not self.is_done("invert", keys.invert, self.trajectory):
            missing.append("invert")
        for kind, key in keys.edits.items():
            video, own = self.video(kind, ending), keys.scores[kind]
            if "edits" in asked and not self.is_done(f"edit {kind}", key, video):
                missing.append(f"edit {kind}")
            if "scores" in asked and not (self.is_done(f"scores {kind}", own, video) and self.is_scored(kind, own)):
                missing.append(f"scores {kind}")
        return missing

    def forget(self, stage: str) -> None:
        """Forgets that a stage was done, before it is done in another way: files of two keys may be of one size."""
        records = self.read_stages()
        if records.pop(stage, None) is not None:
            write_json(self.stages, records)

    def mark_done(self, stage: str, key: str, file: Path, **about: Any) -> None:
        """Notes that a stage is done."""
        records = self.read_stages()
        records[stage] = {"key": key, "size": size_of(file), **about}
        write_json(self.stages, records)

    def note(self, text: str) -> None:
        """Adds lines to the log, with the time."""
        with explain_write_failure(self.log):
            self.path.mkdir(parents=True, exist_ok=True)
            with self.log.open("a", encoding="utf-8", errors="replace") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text.rstrip()}\n")


def size_of(path: Path) -> int:
    """Bytes of a file or of a folder's files; -1 if there is none."""
    if path.is_dir():
        return sum(item.stat().st_size for item in path.iterdir())
    return path.stat().st_size if path.is_file() else -1


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one if there is no such file, or it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes an object as JSON, completely or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
