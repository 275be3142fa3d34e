"""A row of a list of edits, as it stands in a file; and the mistakes in it, which are collected and told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from ...errors import ManifestError

# What a row must say, and what it may.
NEEDED = ("clip", "prompt", "edit")
TEXTS = ("name", "type", "split", "fit", "mask", "score_mask", "negative")
NUMBERS = ("start", "stride", "num_frames", "width", "height", "seed")
COLUMNS = (*NEEDED, *TEXTS, *NUMBERS)
# More mistakes than these are counted and not listed.
MOST_TOLD = 50


@dataclass(frozen=True, kw_only=True)
class Row:
    """One edit of one clip, as a list says it; nothing of it has been checked.

    Args:
        where: its place in the file, "line 3", for messages.
        values: by the names in `COLUMNS`: texts, or numbers where the format has them. What is missing or empty has
            its default.
    """

    where: str
    values: Mapping[str, object]

    def text(self, name: str) -> str:
        """A value as text without blanks around it; "" if it is missing."""
        value = self.values.get(name)
        return "" if value is None else str(value).strip()


@dataclass(kw_only=True)
class Problems:
    """The mistakes found in a list so far.

    Args:
        of: what is read, for the message.
    """

    of: str
    found: list[str] = field(default_factory=list)

    def add(self, where: str, what: str) -> None:
        """Notes a mistake, with its place."""
        self.found.append(f"{where}: {what}" if where else what)

    def refuse_any(self) -> None:
        """Raises `ManifestError` with all mistakes, if there are any."""
        if not self.found:
            return
        told = self.found[:MOST_TOLD]
        rest = [f"and {len(self.found) - MOST_TOLD} more"] if len(self.found) > MOST_TOLD else []
        count = f"{len(self.found)} mistake{'s' * (len(self.found) > 1)}"
        raise ManifestError(
            got=f"{count} in {self.of}\n  " + "\n  ".join([*told, *rest]) + "\n",
            expected="a list whose clips and edits can all be run; nothing was begun",
            mend="Mend these lines and run the same command again.",
        )


def check_columns(names: Sequence[str], where: str, problems: Problems, *, needed: Sequence[str] = NEEDED) -> None:
    """Notes the columns that are missing, unknown or there twice."""
    for name in needed:
        if name not in names:
            problems.add(where, f"no column {name!r}; the columns are {', '.join(names) or 'none'}")
    for name in dict.fromkeys(names):
        if name not in COLUMNS:
            near = get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(COLUMNS)}"
            problems.add(where, f"an unknown column {name!r} ({hint})")
        if names.count(name) > 1:
            problems.add(where, f"the column {name!r} is there {names.count(name)} times")
