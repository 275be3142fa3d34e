"""The page of a batch's results: a table of all edits that can be filtered, with thumbnails that lead to the videos.

It is one file beside `jobs/`. Its script is the one that stands here, and no other can run: the page's policy names its
hash. All text from lists and prompts is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..atomic_files import whole_file
from ..evaluation.page import STYLE, flatten
from ..metrics.field import FIELD_SCORES, PUBLISHED
from ..version import __version__
from .job_folder import JobFolder
from .results import ALL_SCORES, Row, means

# With more edits than these, the thumbnails alone would be tens of megabytes.
MOST_THUMBNAILS = 2000
MORE_STYLE = """
body { max-width: 1600px } img { width: 120px; display: block; background: #eee }
input, select { font: inherit; padding: .25rem .5rem; margin: 0 .8rem .8rem 0 } tr.failed td { background: #fdecea }
.wide { overflow-x: auto } th { white-space: nowrap; cursor: pointer } tr[hidden] { display: none }
"""
SCRIPT = """
const rows = [...document.querySelectorAll('#edits tbody tr')];
const text = document.querySelector('#words'), picks = [...document.querySelectorAll('select')];
const shown = document.querySelector('#shown');
function filter() {
  const words = text.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const fits = picks.every(pick => !pick.value || row.dataset[pick.name] === pick.value);
    row.hidden = !fits || !words.every(word => row.textContent.toLowerCase().includes(word));
    count += !row.hidden;
  }
  shown.textContent = `${count} of ${rows.length} edits`;
}
function sortBy(column, up) {
  const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  // What is missing comes last either way.
  const order = (a, b) => a === '' || b === '' ? (a === '') - (b === '') : (up ? 1 : -1) * compare(a, b);
  const sorted = [...rows].sort((a, b) => order(value(a), value(b)));
  document.querySelector('#edits tbody').append(...sorted);
}
text.addEventListener('input', filter);
for (const pick of picks) pick.addEventListener('change', filter);
document.querySelectorAll('#edits th').forEach((head, column) => {
  let up = false;
  head.addEventListener('click', () => sortBy(column, up = !up));
});
filter();
"""
FILTERS = {"state": "any state", "split": "any split", "type": "any type"}


def write_page(out: Path, rows: Sequence[Row], settings: Mapping[str, Any]) -> Path:
    """Writes index.html.

    Args:
        out: the batch's folder.
        rows: of `collect_rows`.
        settings: of the batch, to be shown.
    """
    path = out / "index.html"
    page = "\n".join(build_page(out, rows, settings))
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


def build_page(out: Path, rows: Sequence[Row], settings: Mapping[str, Any]) -> list[str]:
    """The lines of the page."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    scored = [name for name in ALL_SCORES if any(row[name] is not None for row in rows)]
    count = sum(row["state"] == "done" for row in rows)
    return [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Batch: {count} of {len(rows)} edits</title><style>{STYLE}{MORE_STYLE}</style></head><body>",
        f"<h1>{count} of {len(rows)} edits are done</h1>",
        "<h2>Means</h2>",
        *means_table(rows, scored),
        "<h2>Edits</h2>",
        *filters(rows),
        *edits_table(out, rows, scored),
        "<h2>Settings</h2>",
        *settings_table(settings),
        f"<footer>Made by comfyui-tune-a-video {__version__}. The videos lie beside this page.</footer>",
        f"<script>{SCRIPT}</script></body></html>",
    ]


def means_table(rows: Sequence[Row], scored: Sequence[str]) -> list[str]:
    """The means of all edits and of each group; under them, where LOVEU's scores are there, what others published."""
    heads = "".join(f'<th title="{html.escape(ALL_SCORES[name].tells)}">{heading(name)}</th>' for name in scored)
    lines = [f'<div class="wide"><table id="means"><tr><th>group</th><th>edits</th>{heads}</tr>']
    for group in means(rows):
        cells = "".join(number_cell(name, group.get(name)) for name in scored)
        lines.append(f'<tr><td>{html.escape(group["group"])}</td><td class="number">{group["edits"]}</td>{cells}</tr>')
    if any(name in FIELD_SCORES and name.startswith("loveu") for name in scored):
        for other in PUBLISHED:
            cells = "".join(number_cell(name, other.scores.get(name)) for name in scored)
            told = f"published, not measured here: {other.method} ({other.data}; {other.source})"
            lines.append(f'<tr class="published"><td>{html.escape(told)}</td><td></td>{cells}</tr>')
    return [*lines, "</table></div>"]


def heading(name: str) -> str:
    """A score's label, with the direction that is better."""
    about = ALL_SCORES[name]
    return html.escape(about.label) + {"higher": " ↑", "lower": " ↓", "": ""}[about.better]


def number_cell(name: str, value: float | None) -> str:
    """A cell of a score."""
    if value is None or math.isnan(value):
        return '<td class="number" data-value="">–</td>'
    return f'<td class="number" data-value="{value!r}">{value:.{ALL_SCORES[name].digits}f}</td>'


def filters(rows: Sequence[Row]) -> list[str]:
    """The fields that filter the table."""
    lines = ['<input id="words" type="search" placeholder="words">']
    for name, any_ in FILTERS.items():
        values = sorted({row[name] for row in rows if row[name]})
        options = "".join(f"<option>{html.escape(value)}</option>" for value in values)
        lines.append(f'<select name="{name}"><option value="">{any_}</option>{options}</select>')
    return [*lines, '<span id="shown"></span>']


def edits_table(out: Path, rows: Sequence[Row], scored: Sequence[str]) -> list[str]:
    """One row per edit."""
    names = ("", "clip", "type", "prompt", "edit", *map(heading, scored), "state")
    lines = [f'<div class="wide"><table id="edits"><thead><tr>{"".join(f"<th>{name}</th>" for name in names)}</tr>']
    lines.append("</thead><tbody>")
    for row in rows:
        data = "".join(f' data-{name}="{html.escape(row[name])}"' for name in FILTERS)
        cells = "".join(number_cell(name, row[name]) for name in scored)
        texts = "".join(f"<td>{html.escape(row[name])}</td>" for name in ("name", "type", "prompt", "edit"))
        state = html.escape(row["state"]) + (f"<br><span>{html.escape(row['error'])}</span>" if row["error"] else "")
        picture = thumbnail(out, row, shown=len(rows) <= MOST_THUMBNAILS)
        lines.append(f'<tr class="{row["state"]}"{data}><td>{picture}</td>{texts}{cells}<td>{state}</td></tr>')
    return [*lines, "</tbody></table></div>"]


def thumbnail(out: Path, row: Row, *, shown: bool) -> str:
    """A link to an edit's video, as its thumbnail where there is one."""
    if not row["video"]:
        return ""
    path = JobFolder(out / "jobs" / row["job"]).thumbnail(row["type"])
    picture = "video"
    if shown and path.is_file():
        data = base64.b64encode(path.read_bytes()).decode()
        picture = f'<img alt="video" loading="lazy" src="data:image/jpeg;base64,{data}">'
    return f'<a href="{html.escape(quote(row["video"]))}">{picture}</a>'


def settings_table(settings: Mapping[str, Any]) -> list[str]:
    """The batch's settings, nested ones by dotted names."""
    rows = (
        f'<tr><td>{html.escape(name)}</td><td class="value">{html.escape(text)}</td></tr>'
        for name, text in flatten(settings).items()
    )
    return ["<table>", *rows, "</table>"]
