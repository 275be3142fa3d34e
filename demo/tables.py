"""Tables in Markdown, as the README has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A line for the heads, one that sets them apart, and one for each row. Heads have spaces for underscores."""
    return "\n".join([line([head.replace("_", " ") for head in heads]), "|---" * len(heads) + "|", *map(line, rows)])


def line(cells: Sequence[str]) -> str:
    """One row of a table; an empty cell is one space wide."""
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"
