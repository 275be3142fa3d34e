"""Counts the answers of a study: how often each method was preferred, with a confidence interval."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .page import COLUMNS, QUESTIONS

# Of 95 % of a normal distribution.
Z = 1.959964


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The answers to one question.

    Args:
        question: its name.
        a, b: how often each method was chosen.
        low, high: the 95 % interval of the share of `a`.
        people: how many answered.
    """

    question: str
    a: int
    b: int
    low: float
    high: float
    people: int

    @property
    def share(self) -> float:
        """The share of `a`, from 0 to 1."""
        return self.a / (self.a + self.b)


def read_key(path: Path) -> dict[str, Any]:
    """The key of a study.

    Raises:
        InputError: it is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {name: str(found[name]) for name in ("study", "a", "b")}
        return {**known, "pairs": list(found["pairs"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            got=f"{path}, which is no key of a study ({error})",
            expected="the .key.json that was written beside the page",
            mend="Give that file first, then the answers.",
        ) from error


def read_answers(paths: Iterable[Path], key: dict[str, Any]) -> list[dict[str, str]]:
    """The answers in files: the last one where somebody answered a question twice.

    Raises:
        InputError: a file holds no answers, or those of another study.
    """
    answers: list[dict[str, str]] = []
    for path in paths:
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(got=f"{path} ({error})", expected="a CSV of answers", mend="Check the path.") from error
        for row in rows:
            check_answer(row, key, path)
        answers += rows
    if not answers:
        raise InputError(got="no answers", expected="one or more", mend="Give the CSV files of those who took part.")
    # Of all files together: whoever answers twice has two.
    answers.sort(key=lambda row: row["time"] or "")
    return list({(row["participant"], row["pair"], row["question"]): row for row in answers}.values())


def check_answer(row: dict[str, str], key: dict[str, Any], path: Path) -> None:
    """Raises `InputError` unless a row is an answer to this study."""
    known = {"winner": ("a", "b"), "question": tuple(QUESTIONS), "study": (key["study"],)}
    wrong = [name for name, values in known.items() if row.get(name) not in values]
    if None in row or set(COLUMNS) - row.keys() or wrong:
        name = wrong[0] if wrong else "its columns"
        raise InputError(
            got=f"{path}: an answer whose {name} is {row.get(name)!r}",
            expected=f"answers to the study {key['study']}",
            mend="Give the key and the answers of one study.",
        )


def count_answers(rows: Sequence[dict[str, str]]) -> list[Tally]:
    """The tally of each question that was answered."""
    found = []
    for question in QUESTIONS:
        asked = [row for row in rows if row["question"] == question]
        if asked:
            a = sum(row["winner"] == "a" for row in asked)
            low, high = wilson(a, len(asked))
            people = len({row["participant"] for row in asked})
            found.append(Tally(question=question, a=a, b=len(asked) - a, low=low, high=high, people=people))
    return found


def wilson(wins: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson, 1927), which holds for few answers and for shares of 0 and 1 too.

    It takes answers for independent; those of one person are not quite, so with few people it is too narrow.
    """
    share, spread = wins / total, Z * Z / total
    middle = (share + spread / 2) / (1 + spread)
    reach = Z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    # Rounding would leave a little of nothing.
    return 0.0 if wins == 0 else middle - reach, 1.0 if wins == total else middle + reach


def format_tallies(tallies: Sequence[Tally], key: dict[str, Any]) -> str:
    """The tallies as a table to print."""
    lines = []
    for each in tallies:
        total = each.a + each.b
        lines.append(f"{each.question}: {total} answers of {each.people} people")
        for name, share, low, high in (
            (key["a"], each.share, each.low, each.high),
            (key["b"], 1 - each.share, 1 - each.high, 1 - each.low),
        ):
            lines.append(f"  {name}  {share:.1%}  (95 % interval {low:.1%} to {high:.1%})")
    return "\n".join(lines)
