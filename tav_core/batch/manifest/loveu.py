"""LOVEU-TGVE-2023 as it is downloaded (github.com/showlab/loveu-tgve-2023): 76 clips with four edits each.

    LOVEU-TGVE-2023_Dataset.csv
    DAVIS_480p/480p_frames/stunt/00000.jpg, and likewise youtube_480p and videvo_480p; or 480p_videos/stunt.mp4

In the CSV, a row such as "DAVIS Videos:" begins each part; its own code counts lines instead.
"""

from __future__ import annotations

from pathlib import Path

from ...video.image_files import pictures_in
from .csv_file import Line, read_lines
from .rows import Problems, Row

FILE = "LOVEU-TGVE-2023_Dataset.csv"
SIDE = 480
SPLITS = {"davis": "DAVIS_480p", "youtube": "youtube_480p", "videvo": "videvo_480p"}
NAME, CAPTION = "video name", "our gt caption"
EDITS = {
    "style": "style change caption",
    "object": "object change caption",
    "background": "background change caption",
    "multiple": "multiple changes caption",
}


def read_loveu(folder: Path, problems: Problems) -> list[Row]:
    """The rows of the data set in a folder: 480x480, every frame; 128 of them need `--tune-window`."""
    lines = read_lines(folder / FILE, problems)
    header = next(lines, Line(1, []))
    names = [cell.strip().lower() for cell in header.cells]
    missing = [name for name in (NAME, CAPTION, *EDITS.values()) if name not in names]
    if missing:
        problems.add(f"line {header.number}", f"no column {missing[0]!r} in {FILE}")
        return []
    rows, split = [], ""
    for line in lines:
        cells = dict(zip(names, (cell.strip() for cell in line.cells), strict=False))
        name = cells.get(NAME, "")
        if part := section(name, cells):
            split = part
        elif name:
            rows += clip_rows(folder, split, cells, f"line {line.number}", problems)
    return rows


def section(name: str, cells: dict[str, str]) -> str:
    """The part of the data set that a row begins; "" if it is a clip's."""
    if any(cells.get(column) for column in (CAPTION, *EDITS.values())):
        return ""
    return next((split for word, split in SPLITS.items() if name.lower().startswith(word)), "")


def clip_rows(folder: Path, split: str, cells: dict[str, str], where: str, problems: Problems) -> list[Row]:
    """The four edits of a clip; what is not filled in is noted."""
    if not split:
        problems.add(where, f"the clip {cells[NAME]!r} before a row such as 'DAVIS Videos:'")
        return []
    frames = folder / split / "480p_frames" / cells[NAME]
    clip = frames if frames.is_dir() else folder / split / "480p_videos" / f"{cells[NAME]}.mp4"
    shared: dict[str, object] = {
        "clip": str(clip if clip.exists() else frames),
        "prompt": cells[CAPTION],
        "name": cells[NAME],
        "split": split,
        "width": SIDE,
        "height": SIDE,
    }
    if frames.is_dir():
        shared["num_frames"] = count_pictures(frames)
    edits = {kind: cells.get(column, "") for kind, column in EDITS.items()}
    return [Row(where=where, values={**shared, "edit": text, "type": kind}) for kind, text in edits.items()]


def count_pictures(folder: Path) -> int:
    """How many pictures a folder holds."""
    return sum(1 for _ in pictures_in(folder))
