"""Hashes of files and folders by their bytes, remembered for as long as sizes and times of the files stay."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from ..cancelling import cancellable
from ..errors import InputError

CHUNK = 2**22


def hash_path(path: str | Path, known: MutableMapping[str, Any] | None = None) -> str:
    """SHA-256 of a file, or of all files of a folder with their names; hidden files do not count.

    Args:
        known: hashes of earlier, by path with the stamp that they had then; filled in here.

    Raises:
        InputError: it cannot be read.
    """
    path = Path(path)
    try:
        files = list(list_files(path))
        stamp = hashlib.sha256(json.dumps([describe(path, file) for file in files]).encode()).hexdigest()
        found = {} if known is None else known.get(str(path), {})
        if isinstance(found, dict) and found.get("stamp") == stamp:
            return str(found["hash"])
        digest = hash_files(path, files)
    except OSError as error:
        raise InputError(
            got=f"{error.strerror or error} for {path}", expected="a file that can be read", mend="Check the path."
        ) from error
    if known is not None:
        known[str(path)] = {"stamp": stamp, "hash": digest}
    return digest


def list_files(path: Path) -> Iterator[Path]:
    """The files that count, in an order that is the same everywhere."""
    if path.is_dir():
        yield from sorted(walk(path), key=lambda item: item.relative_to(path).as_posix())
    else:
        yield path


def walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files below a folder that are not hidden, also in folders that are linked into it.

    Args:
        above: the folders on the way here, in full: a link to one of them leads in a circle.
    """
    real = folder.resolve()
    if real in above:
        return
    for item in folder.iterdir():
        if item.name[0] == ".":
            continue
        if item.is_dir():
            yield from walk(item, (*above, real))
        elif item.is_file():
            yield item


def describe(root: Path, file: Path) -> tuple[str, int, int]:
    """What changes with a file: its name, its size in bytes, its time in nanoseconds."""
    stat = file.stat()
    return file.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns


def hash_files(root: Path, files: list[Path]) -> str:
    """The hash of the files' names and bytes; a single file has that of its bytes alone."""
    total = hashlib.sha256()
    for file in files:
        if file != root:
            total.update(f"{file.relative_to(root).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as opened:
            for chunk in cancellable(iter(lambda: opened.read(CHUNK), b"")):
                total.update(chunk)
    return total.hexdigest()
