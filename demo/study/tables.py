"""Tables in Markdown, as the pages of docs/ have them, and in a form that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the heads, a separator line, and one line per row. Underscores in heads become spaces."""
    return "\n".join([line([head.replace("_", " ") for head in heads]), "|---" * len(heads) + "|", *map(line, rows)])


def line(cells: Sequence[str]) -> str:
    """One row of a table; an empty cell is one space wide."""
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def without_nan(found: Any) -> Any:
    """Nested tables with None for nan, which JSON does not have."""
    if isinstance(found, dict):
        return {name: without_nan(value) for name, value in found.items()}
    if isinstance(found, list):
        return [without_nan(value) for value in found]
    return None if isinstance(found, float) and math.isnan(found) else found
