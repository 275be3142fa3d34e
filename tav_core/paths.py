"""Checks on paths from users, before anything is opened."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Container
from itertools import count
from pathlib import Path

from .errors import InputError, OutputError

# Characters and bytes of a name. Most file systems take names of 255 bytes, and a temporary file's is longer by 14.
NAME_LENGTH, NAME_BYTES = 60, 200


def check_input_path(path: str | Path, error: type[InputError]) -> Path:
    """A path to read from, with a leading ~ resolved. If nothing exists there, the caller must say so.

    Raises:
        error: the name is not valid on any system, a link leads nowhere, or the path is neither a file nor a folder
            (opening a pipe or a device may wait for ever).
    """
    try:
        known = Path(path).expanduser()
        there, plain = known.exists(), known.is_file() or known.is_dir()
        # For a name with a zero byte, Python only says that no such file exists.
        link = known.is_symlink() and not there
        usable = "\0" not in str(known)
    except (OSError, RuntimeError, ValueError, TypeError) as cause:
        raise error(
            got=f"the path {str(path)[:200]!r}, a name that cannot be looked up ({getattr(cause, 'strerror', cause)})",
            expected="the path of a file or folder",
            mend="Check the name.",
        ) from cause
    if not usable or link or (there and not plain):
        found = "a link that leads nowhere: what it points to does not exist" if link else "neither a file nor a folder"
        raise error(
            got=f"{str(path)[:200]!r}, {found if usable else 'a name with a zero byte in it'}",
            expected="the path of a file or folder",
            mend="Give the file itself, or check the name.",
        )
    return known


def check_output_path(path: str | Path) -> Path:
    """A path to write to, with a leading ~ resolved.

    Raises:
        OutputError: the name is not valid on any system, or there is no name.
    """
    try:
        known = Path(path).expanduser()
    except (RuntimeError, TypeError) as cause:
        raise _no_name(path, str(cause)) from cause
    if "\0" in str(known) or known.name in ("", ".."):
        raise _no_name(path, "no file can have this name")
    return known


def as_file_name(text: str, *, empty: str = "empty-prompt") -> str:
    """A text as a name that every file system takes: its letters and digits in lower case, joined by hyphens.

    The name of a text that is too long, or has none of these, ends in six digits of the text's hash, so that another
    text has another name.

    Args:
        empty: the name of a text without any.
    """
    composed = unicodedata.normalize("NFC", text.strip()).lower()
    # Marks are part of a letter: vowels of Hindi, accents that no letter has by itself.
    kept = (char if char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M" else " " for char in composed)
    name = "-".join("".join(kept).split())
    if (name and name == shorten_name(name, 0)) or not composed:
        return name or empty
    digest = hashlib.sha256(composed.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{shorten_name(name, len(digest) + 1) or empty}-{digest}"


def shorten_name(name: str, spare: int) -> str:
    """The beginning of a name that leaves room for some more characters."""
    return name[: NAME_LENGTH - spare].encode(errors="ignore")[: NAME_BYTES - spare].decode(errors="ignore").strip("-")


def new_name(stem: str, taken: Container[str]) -> str:
    """A name that is not taken: the stem, or the stem with the first free number from 2 on."""
    numbered = (f"{stem}-{number}" for number in count(2))
    return stem if stem not in taken else next(name for name in numbered if name not in taken)


def _no_name(path: str | Path, reason: str) -> OutputError:
    return OutputError(
        got=f"the path {str(path)[:200]!r} to write to ({reason})",
        expected="a folder and a name in it",
        mend="Give the path of a file.",
    )
