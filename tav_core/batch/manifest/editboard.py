"""EditBoard's list (github.com/Samchen2003/EditBoard, arXiv 2409.09668), as its own tool reads it.

    original_video_path,edited_video_path,semantic_mask_path,source_prompt,target_prompt

The edited videos are what a run is to make: only their names are used.
"""

from __future__ import annotations

from pathlib import Path

from .csv_file import Line, read_lines
from .rows import Problems, Row

COLUMNS = ("original_video_path", "edited_video_path", "semantic_mask_path", "source_prompt", "target_prompt")


def read_editboard(path: Path, problems: Problems) -> list[Row]:
    """The rows of the list."""
    lines = read_lines(path, problems)
    header = next(lines, Line(1, []))
    names = [cell.strip() for cell in header.cells]
    for name in (COLUMNS[0], *COLUMNS[3:]):
        if name not in names:
            problems.add(f"line {header.number}", f"no column {name!r}")
            return []
    found = (Line(line.number, [cell.strip() for cell in line.cells]) for line in lines)
    return [describe(path, names, line) for line in found if any(line.cells)]


def describe(path: Path, names: list[str], line: Line) -> Row:
    """A row in our words; its paths start where they lead somewhere: beside the list, above it, or here."""
    cells = dict(zip(names, line.cells, strict=False))
    original, edited, mask = (cells.get(name, "") for name in COLUMNS[:3])
    values: dict[str, object] = {
        "clip": str(find(path, original)) if original else "",
        "prompt": cells.get("source_prompt", ""),
        "edit": cells.get("target_prompt", ""),
        "type": Path(edited).stem.removeprefix(f"{Path(original).stem}_") if edited else "",
    }
    if mask:
        values["score_mask"] = str(find(path, mask))
    return Row(where=f"line {line.number}", values=values)


def find(path: Path, given: str) -> Path:
    """A path of the list; its tool starts from where it is called, which is not known here."""
    places = [folder / given for folder in (path.parent, path.parent.parent, Path.cwd())]
    return next((place for place in places if place.exists()), places[0])
