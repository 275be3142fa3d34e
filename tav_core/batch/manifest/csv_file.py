"""Lists of edits as CSV: one row per edit, under a header. Also the plain reader that the data sets' files share."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import ManifestError
from ...paths import check_input_path
from .rows import Problems, Row, check_columns

# A spreadsheet saves with another separator where the comma is the decimal point.
SEPARATORS = ",;\t"


class Line(NamedTuple):
    """The cells of a row, and the line of the file that it begins on, from 1."""

    number: int
    cells: list[str]


def read_csv(path: Path, problems: Problems) -> list[Row]:
    """The rows of a list of edits; mistakes in its form are noted, and rows that have them left out."""
    lines = read_lines(path, problems)
    # Spreadsheets leave lines in front empty.
    header = next((line for line in lines if any(cell.strip() for cell in line.cells)), None)
    if header is None:
        problems.add("", "the file is empty")
        return []
    names = [name.strip().lower() for name in header.cells]
    # Nor do they know where a table ends.
    while names and not names[-1]:
        names.pop()
    check_columns(names, f"line {header.number}", problems)
    rows = []
    for line in lines:
        if not any(cell.strip() for cell in line.cells):
            continue
        where = f"line {line.number}"
        if len(line.cells) > len(names) and any(cell.strip() for cell in line.cells[len(names) :]):
            problems.add(where, f"{len(line.cells)} values for {len(names)} columns; put a text with commas in quotes")
            continue
        # A row may be short: what it lacks is empty, so that the job's check names it.
        rows.append(Row(where=where, values=dict.fromkeys(names, "") | dict(zip(names, line.cells, strict=False))))
    return rows


def read_lines(path: Path, problems: Problems) -> Iterator[Line]:
    """The rows of a CSV file, header included; a file whose quotes never close is noted."""
    text, number = read_text(path), 1
    first, _, rest = text.partition("\n")
    # What Excel takes the separator from.
    if told := re.fullmatch(r'"?sep=(.)"?', first.strip()):
        text, number = rest, 2
    separator = told[1] if told else max(SEPARATORS, key=text.lstrip().partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    skipped = number - 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(f"line {number}", f"no CSV from here on ({error})")
            return
        yield Line(number, cells)
        number = skipped + reader.line_num + 1


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark, as spreadsheets write it.

    Raises:
        ManifestError: there is no such file, or it is in another encoding.
    """
    path = check_input_path(path, ManifestError)
    if not path.is_file():
        raise ManifestError(
            got=f"{path}, {'a folder' if path.is_dir() else 'no such file'}",
            expected="a list of clips and edits, .csv or .yaml, or a data set such as loveu:FOLDER",
            mend="Check the path.",
        )
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ManifestError(
            got=f"{path}, which is not UTF-8 in line {line}",
            expected="a text file in UTF-8",
            mend='Save it again as UTF-8; in a spreadsheet, choose "CSV UTF-8".',
        ) from error
