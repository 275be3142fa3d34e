"""The project's Markdown pages, and what they hold: links, anchors, code blocks, code in the text, commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.project_files import ROOT

GLOBS = (
    "*.md",
    "docs/**/*.md",
    "demo/*.md",
    "benchmarks/*.md",
    "tests/faults/*.md",
    "tests/data/*/*.md",
    "web/docs/*.md",
    "tav_core/data/*/*.md",
)
# Fewer pages than these mean that a glob has gone blind.
AT_LEAST = 42
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^(\w+=\S+ )*(\S*python3?(\.exe)?|pip) ")


def pages() -> list[Path]:
    """All pages.

    Raises:
        AssertionError: there are fewer than there must be.
    """
    found = sorted({path for glob in GLOBS for path in ROOT.glob(glob)})
    assert len(found) >= AT_LEAST, f"only {len(found)} pages seen"
    return found


def page_name(path: Path) -> str:
    """As a test is named by it."""
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def code_blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks as (language, code) with the fence's indentation taken away."""
    return [
        (language, re.sub(rf"^{indent}", "", code, flags=re.MULTILINE))
        for indent, language, code in FENCED.findall(text)
    ]


def prose(text: str) -> str:
    """All but the fenced blocks."""
    return FENCED.sub("", text)


def inline_code(text: str) -> list[str]:
    """What stands in backticks, on one line each."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(text))]


def links(text: str) -> list[str]:
    """The targets of links and pictures that lie in the project."""
    found = LINK.findall(re.sub(r"`[^`]*`(?!\])", "", prose(text)))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(text: str) -> Iterator[list[str]]:
    """Calls of Python and pip in blocks and in the text, as lists of words; `a | b` stands for two commands."""
    lines = [line for _, code in code_blocks(text) for line in code.replace("\\\n", " ").splitlines()]
    for line in [*lines, *inline_code(text)]:
        if not COMMAND.match(line):
            continue
        words = shlex.split(line.replace("\\", "/"), comments=True)
        if "|" not in words:
            yield words
            continue
        first = words.index("|") - 1
        yield from ([*words[:first], word] for word in words[first:] if word != "|")
