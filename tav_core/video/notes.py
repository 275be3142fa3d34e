"""Reads what a video file says about how it was made: the comment of `write_video`, and what other programs wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
from PIL import Image

from ..errors import ClipError
from .comments import DESCRIPTION
from .image_files import PICTURE_ENDINGS, pictures_in

# Longer values, such as a workflow of ComfyUI, are told by their size.
LONGEST = 500


def read_notes(path: Path) -> dict[str, str]:
    """The notes in a video file, a picture, or the first picture of a folder: name to text; empty without any.

    Raises:
        ClipError: the file cannot be opened.
    """
    try:
        if path.is_dir():
            first = min(pictures_in(path), default=None)
            return {} if first is None else picture_notes(first)
        if path.suffix.lower() in PICTURE_ENDINGS:
            return picture_notes(path)
        with av.open(str(path.absolute()), metadata_errors="replace") as container:
            return dict(container.metadata)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise ClipError(
            got=f"{path}, which cannot be opened ({error})", expected="a video", mend="Check the file."
        ) from error


def picture_notes(path: Path) -> dict[str, str]:
    with Image.open(path) as picture:
        notes = {name.lower(): value for name, value in picture.info.items() if isinstance(value, str)}
        described = picture.getexif().get(DESCRIPTION)
    if isinstance(described, str):
        # Pillow takes EXIF's texts for Latin-1; they are UTF-8 nearly everywhere.
        notes.setdefault("comment", described.encode("latin-1", "replace").decode("utf-8", "replace"))
    return notes


def read_settings_in(notes: dict[str, str]) -> dict[str, Any]:
    """The settings in a comment of `write_video`; the comment as it is, if it holds something else; empty for none."""
    comment = notes.get("comment", "")
    try:
        found = json.loads(comment)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return {str(name): value for name, value in found.items()}
    return {"comment": comment} if comment else {}


def shorten(value: Any) -> str:
    """A value as a text to print."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"
