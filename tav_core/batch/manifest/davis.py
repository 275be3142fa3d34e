"""DAVIS as it is downloaded (davischallenge.org, 2016 and 2017, 480p), with a list of edits beside it.

JPEGImages/480p/bear/00000.jpg
Annotations/480p/bear/00000.png     where the subject is, for the scores outside it
edits.csv                           clip,prompt,edit with DAVIS' names as clips
"""

from __future__ import annotations

from pathlib import Path

from ...errors import ManifestError
from .csv_file import read_csv
from .rows import Problems, Row

PICTURES, MASKS = Path("JPEGImages", "480p"), Path("Annotations", "480p")


def read_davis(folder: Path, problems: Problems) -> list[Row]:
    """The rows of the one CSV in the folder, with the clips' names turned into paths.

    Raises:
        ManifestError: there is no CSV, or several.
    """
    lists = sorted(folder.glob("*.csv"))
    if len(lists) != 1:
        raise ManifestError(
            got=f"{len(lists)} CSV files in {folder}",
            expected="one, with the columns clip, prompt and edit, whose clips are named as in JPEGImages/480p",
            mend="Write your list of edits there; the paper's own list was not published.",
        )
    return [place(row, folder) for row in read_csv(lists[0], problems)]


def place(row: Row, folder: Path) -> Row:
    """A row with the paths of its clip and, if DAVIS has one, of the subject's mask."""
    name = row.text("clip")
    if not name:
        return row
    found: dict[str, object] = {"clip": str(folder / PICTURES / name), "name": row.text("name") or name}
    if (folder / MASKS / name).is_dir() and not row.text("score_mask"):
        found["score_mask"] = str(folder / MASKS / name)
    return Row(where=row.where, values={**row.values, **found})
