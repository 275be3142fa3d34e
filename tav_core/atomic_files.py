"""Files that are written whole or not at all, and runs that one process at a time goes on with."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError, explain_write_failure

# Seconds. No write takes as long, so what is older was left by a process that was killed.
LEFT_OVER = 3600
GB = 1e9


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` for a file or folder, and moves it into place at the end.

    A crash, a full disk or a kill leaves what was there before. What an earlier kill left behind goes too.

    Raises:
        OutputError: it cannot be written.
    """
    temporary, replaced = beside(path, "tmp"), beside(path, "old")
    with explain_write_failure(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            written_at = temporary.stat().st_mtime
            if temporary.is_file():
                flush_to_disk(temporary)
            elif path.is_dir():
                # A folder cannot be replaced in one step.
                path.replace(replaced)
            temporary.replace(path)
            remove_leftovers(path, older_than=written_at - LEFT_OVER)
        except BaseException:
            if replaced.exists():
                replaced.replace(path)
            raise
        finally:
            remove(temporary)
            remove(replaced)


def beside(path: Path, ending: str) -> Path:
    """A hidden name in the same folder that no other write has."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{ending}")


def flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def remove_leftovers(path: Path, *, older_than: float | None = None) -> None:
    """Removes what killed writes of `path` left beside it, as far as it may be removed.

    Args:
        older_than: by the file system's clock, in seconds; None removes all, which only the run's holder may.
    """
    name = re.compile(re.escape(f".{path.name}.") + r"\w+\.(tmp|old)")
    for found in list(path.parent.iterdir()):
        # Another process may remove it first, or another user own it.
        with suppress(OSError):
            if name.fullmatch(found.name) and (older_than is None or found.stat().st_mtime < older_than):
                remove(found)


def check_output(path: str | Path, size: int = 0) -> None:
    """Checks that a file can be written, before the work that it is to hold. Makes no folders.

    Args:
        size: bytes that it will have, where known.

    Raises:
        OutputError: no permission, or too little space.
    """
    path = Path(path)
    folder = next((folder for folder in path.absolute().parents if folder.exists()), path.absolute().parent)
    with explain_write_failure(path):
        probe = beside(folder / path.name, "tmp")
        probe.touch()
        probe.unlink()
        free = shutil.disk_usage(folder).free
    if size > free:
        raise OutputError(
            got=f"{free / GB:.2f} GB of free space for {path}",
            expected=f"{size / GB:.2f} GB, as it will take",
            mend="Free some space or choose another folder; nothing was overwritten.",
        )
