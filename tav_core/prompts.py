"""Prompts as text: what is none, and the weights in them.

A weight is written as in ComfyUI and A1111: `a (red:1.3) car` stresses "red". In nested groups the innermost weight
holds. Plain parentheses, `a car (red)`, are text here, while those programs read them as a weight of 1.1. A parenthesis
after a backslash is always text.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from .errors import PromptError

ESCAPED = {"\0": "(", "\1": ")"}
DOUBLED = re.compile(r"\(\s*\([^()]*\)\s*\)")
WEIGHTED = re.compile(r"(.*):\s*([-+\w.]+)\s*", re.DOTALL)


class Piece(NamedTuple):
    """A part of a prompt with one weight; None where none is given, which counts as 1."""

    text: str
    weight: float | None


def check_prompt(prompt: str) -> None:
    """Checks that a prompt is text that can be encoded.

    Raises:
        PromptError: it is no text, or holds half of a surrogate pair, as a byte that is not UTF-8 becomes.
    """
    if not isinstance(prompt, str):
        raise PromptError(got=f"a prompt of type {type(prompt).__name__}", expected="text", mend="Give a str.")
    broken = next((place for place, char in enumerate(prompt) if 0xD800 <= ord(char) <= 0xDFFF), None)
    if broken is not None:
        raise PromptError(
            got=f"a prompt that is not Unicode text: its character {broken + 1} is {prompt[broken]!a}",
            expected="whole characters",
            mend="Type that character again; text from a file or another program must be in UTF-8.",
        )


def read_weights(prompt: str) -> list[tuple[str, float]]:
    """The pieces of a prompt with their weights; one piece if there are none.

    Raises:
        PromptError: a weight is no finite number, or there are double parentheses, which other programs read as one.
    """
    check_prompt(prompt)
    hidden = prompt.replace(r"\(", "\0").replace(r"\)", "\1")
    if doubled := DOUBLED.search(hidden):
        refuse_doubled(show(doubled.group()))
    groups: list[list[Piece]] = [[]]
    for part in re.split(r"([()])", hidden):
        if part == "(":
            groups.append([])
        elif part == ")" and len(groups) > 1:
            inner = groups.pop()
            groups[-1] += close(inner)
        else:
            groups[-1].append(Piece(part, None))
    # What was opened and never closed is text.
    pieces = groups[0] + [piece for group in groups[1:] for piece in (Piece("(", None), *group)]
    weights = [(show(text), 1.0 if weight is None else weight) for text, weight in join(pieces) if text]
    return weights or [("", 1.0)]


def plain_text(prompt: str) -> str:
    """A prompt without its weights."""
    return "".join(text for text, _ in read_weights(prompt))


def close(group: list[Piece]) -> list[Piece]:
    """The pieces of a group in parentheses: with the weight at its end, or, without one, in its parentheses."""
    found = WEIGHTED.fullmatch(group[-1].text) if group[-1].weight is None else None
    weight = as_number(found.group(2)) if found else None
    if not found or weight is None or not (found.group(1) or group[:-1]):
        return [Piece("(", None), *group, Piece(")", None)]
    if not math.isfinite(weight):
        raise PromptError(
            got=f"the weight {found.group(2)} of {show(found.group(1))!r}",
            expected="a finite number, such as 1.2",
            mend=r"Give such a number, or write \( and \) if the parentheses are text.",
        )
    inside = [*group[:-1], Piece(found.group(1), None)]
    return [Piece(text, weight if own is None else own) for text, own in join(inside)]


def as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def join(pieces: list[Piece]) -> list[Piece]:
    """Joins neighbours without weights, so that text with parentheses stays whole."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].weight is None and piece.weight is None:
            joined[-1] = Piece(joined[-1].text + piece.text, None)
        else:
            joined.append(piece)
    return joined


def show(text: str) -> str:
    """Text with its escaped parentheses as parentheses."""
    return text.translate({ord(mark): parenthesis for mark, parenthesis in ESCAPED.items()})


def refuse_doubled(text: str) -> None:
    word = text.strip("() ")
    weighted = word if WEIGHTED.fullmatch(word) else f"{word}:1.21"
    raise PromptError(
        got=f"{text!r} in a prompt, which some programs read as a weight",
        expected=f"one pair of parentheses and the weight as a number: ({weighted})",
        mend=rf"Write it so, or, if the parentheses are text, \(\({word}\)\).",
    )
