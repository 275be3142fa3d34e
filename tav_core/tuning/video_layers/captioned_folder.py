"""Finds the clips and pictures in a folder, with their captions.

    NAME.mp4, NAME.gif ..., or a folder NAME of pictures      a clip; its caption is in NAME.txt
    NAME.jpg, NAME.png, NAME.webp ...                         a picture; its caption is in NAME.txt
    metadata.jsonl                                            captions, a line {"file_name": ..., "text": ...} for each

A WebP that moves is a clip. metadata.jsonl is Hugging Face's convention for folders of videos and of pictures; what it
does not name still needs a NAME.txt. Hidden files, and files of other kinds, are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError
from ...paths import check_input_path
from ...video.config import VIDEO_ENDINGS
from ...video.image_files import PICTURE_ENDINGS, pictures_in, webp_durations

METADATA = "metadata.jsonl"


@dataclass(frozen=True, kw_only=True)
class Example:
    """A clip or a picture with its caption.

    Args:
        name: its path within the folder, with slashes.
        path: where it is.
        caption: what it shows, in one line.
        is_clip: whether it moves.
    """

    name: str
    path: Path
    caption: str
    is_clip: bool


def find_examples(folder: str | Path, *, pictures: bool = True) -> tuple[list[Example], list[str]]:
    """The examples in a folder, by name, and a line for each that has no caption or is not there.

    Args:
        pictures: whether pictures are examples; if not, they are left alone, captions or not.

    Raises:
        ConfigError: there is no such folder, or its metadata.jsonl cannot be read.
    """
    folder = check_input_path(folder, ConfigError)
    if not folder.is_dir():
        raise ConfigError(
            got=f"{folder}, {'a file' if folder.exists() else 'which does not exist'}",
            expected="a folder of clips and pictures with captions",
            mend="Check the path.",
        )
    told = read_metadata(folder / METADATA)
    examples, problems = [], []
    for name in sorted({*told, *own_names(folder, told)}):
        path = folder / name
        if not path.exists():
            problems.append(f"{name}: named in {METADATA}, but not there")
            continue
        if not pictures and not is_clip(path):
            continue
        caption = " ".join((told[name] if name in told else read_caption(path)).split())
        examples.append(Example(name=name, path=path, caption=caption, is_clip=is_clip(path)))
        if not caption:
            problems.append(f"{name}: {why_silent(path, is_told=name in told)}")
    return examples, problems


def own_names(folder: Path, told: dict[str, str]) -> Iterator[str]:
    """The names of clips and pictures directly in a folder.

    A folder is a clip if it holds pictures or has a caption, but not if it holds what the metadata names.
    """
    shelves = {name.partition("/")[0] for name in told if "/" in name}
    for path in folder.iterdir():
        known = looks_like_clip(path) if path.is_dir() else path.suffix.lower() in (*VIDEO_ENDINGS, *PICTURE_ENDINGS)
        if known and not path.name.startswith(".") and path.name not in shelves:
            yield path.name


def looks_like_clip(folder: Path) -> bool:
    """Whether a folder is meant as a clip: others, such as one for results, may lie among the clips."""
    return caption_file(folder).exists() or any(pictures_in(folder))


def is_clip(path: Path) -> bool:
    """Whether a path is a clip, by its kind: a folder, a video, or a WebP that has several frames."""
    if path.suffix.lower() == ".webp" and path.is_file():
        return len(webp_durations(path.read_bytes())) > 1
    return path.is_dir() or path.suffix.lower() not in PICTURE_ENDINGS


def caption_file(path: Path) -> Path:
    """Where the caption of a clip or picture is; a folder's name may have a dot in it."""
    return path.parent / f"{path.name if path.is_dir() else path.stem}.txt"


def read_caption(path: Path) -> str:
    """The caption beside a clip or picture; "" if there is none that can be read."""
    try:
        return caption_file(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""


def why_silent(path: Path, *, is_told: bool) -> str:
    """Why an example has no caption."""
    if is_told:
        return f"its text in {METADATA} is empty"
    file = caption_file(path)
    if not file.is_file():
        return f"no caption, there is no {file.name}"
    return f"its caption {file.name} is empty, or no UTF-8 text"


def read_metadata(path: Path) -> dict[str, str]:
    """The captions in a metadata.jsonl by file name; none without such a file.

    Raises:
        ConfigError: it cannot be read, or a line is no object with a file_name within the folder and a text.
    """
    if not path.is_file():
        return {}
    told: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise bad_metadata(path, f"which cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            name, text = read_line(path, number, line)
            told[name] = text
    return told


def read_line(path: Path, number: int, line: str) -> tuple[str, str]:
    """File name and text of one line of a metadata.jsonl."""
    try:
        row = json.loads(line)
        name, text = Path(row["file_name"]), row["text"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise bad_metadata(path, f"whose line {number} has no file_name and text") from error
    if not isinstance(text, str) or name.is_absolute() or ".." in name.parts or not name.name:
        raise bad_metadata(path, f"whose line {number} names {str(name)!r} with the text {text!r}")
    return name.as_posix(), text


def bad_metadata(path: Path, why: str) -> ConfigError:
    return ConfigError(
        got=f"{path}, {why}",
        expected='a line {"file_name": "clip.mp4", "text": "what it shows"} for each file, all within its folder',
        mend="Repair it, or take it away and put each caption into a NAME.txt.",
    )
