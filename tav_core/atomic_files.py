"""Files that are written completely or not at all."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError, explain_write_failure

# Seconds. No write takes this long, so an older temporary file was left by a process that was killed.
LEFT_OVER = 3600
GB = 1e9


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` for a file or folder, and moves it into place at the end.

    A crash, a full disk or a kill leaves the old file as it was. Files that earlier kills left behind are removed. A
    file that is replaced passes its permissions on, as if it had been written over.

    Raises:
        OutputError: the file cannot be written.
    """
    temporary, replaced = beside(path, "tmp"), beside(path, "old")
    with explain_write_failure(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            written_at = temporary.stat().st_mtime
            if temporary.is_file():
                flush_to_disk(temporary)
                if path.is_file():
                    shutil.copymode(path, temporary)
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
    """A hidden name in the same folder that no other write uses."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{ending}")


def flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def remove_leftovers(path: Path, *, older_than: float | None = None) -> None:
    """Removes the temporary files that killed writes of `path` left beside it, if they can be removed.

    Args:
        older_than: remove only files older than this, in seconds of the file system's clock; None removes all, which
            only the process that holds the run may do.
    """
    name = re.compile(re.escape(f".{path.name}.") + r"\w+\.(tmp|old)")
    for found in list(path.parent.iterdir()):
        # Another process may have removed it, or another user may own it.
        with suppress(OSError):
            if name.fullmatch(found.name) and (older_than is None or found.stat().st_mtime < older_than):
                remove(found)


def check_output(path: str | Path, size: int = 0, *, folder: bool = False, example: str = "") -> None:
    """Checks before the work that its result can be written to a file. Makes no folders.

    Args:
        size: size of the file in bytes, if known.
        folder: whether the result is a folder.
        example: a name for the file, for an error that tells a user who named a folder.

    Raises:
        OutputError: there is no permission, too little space, or a folder in the place of a file, or the reverse.
    """
    path = Path(path)
    with explain_write_failure(path):
        check_kind(path, folder=folder, example=example)
        there = next((parent for parent in path.absolute().parents if parent.exists()), path.absolute().parent)
        probe = beside(there / path.name, "tmp")
        probe.touch()
        probe.unlink()
        free = shutil.disk_usage(there).free
    if size > free:
        raise OutputError(
            got=f"{free / GB:.2f} GB of free space for {path}",
            expected=f"{size / GB:.2f} GB or more",
            mend="Free some space or choose another folder; nothing was overwritten.",
        )


def check_kind(path: Path, *, folder: bool, example: str = "") -> None:
    """Raises `OutputError` for a folder in the place of a file, or the reverse: neither can replace the other."""
    if not (path.is_file() if folder else path.is_dir()):
        return
    give = f"Give a file in it, as in {path / example}." if example else "Choose another name, or move what is there."
    raise OutputError(
        got=f"{path}, which is a {'file' if folder else 'folder'}",
        expected=f"the name of a {'folder' if folder else 'file'}",
        mend=f"{give} Nothing was overwritten.",
    )
