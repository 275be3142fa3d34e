"""Help pages and translations: every node has them, whole, in every language. Reads files alone; no ComfyUI."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.project_files import python_files

PACK = Path(__file__).resolve().parents[2]
LANGUAGES = ("en", "ko", "zh", "ja")
# What the front end's translations read as more than a letter: an interpolation, a plural, a link.
SPECIAL = set("{}|@")


def node_ids() -> list[str]:
    """The ids of all nodes, from their source."""
    sources = [path.read_text(encoding="utf-8") for path in python_files("nodes")]
    return sorted(found for source in sources for found in re.findall(r'node_id="(TAV\w+)"', source))


def read_texts(language: str) -> dict[str, Any]:
    """The texts of a language."""
    return json.loads((PACK / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))


def flatten(texts: Any, above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """All texts by their paths; an empty group of texts counts as one that is not there."""
    if not isinstance(texts, dict):
        return {above: texts}
    return {path: text for key, value in texts.items() for path, text in flatten(value, (*above, key)).items()}


def first_cells(page: str) -> set[str]:
    """What stands in backticks in the first column of a page's tables."""
    rows = re.findall(r"^\|([^|]*)\|", page, re.MULTILINE)
    return {name for cell in rows for name in re.findall(r"`([^`]+)`", cell)}


def test_there_are_nodes():
    ids = node_ids()
    assert len(ids) >= 11
    assert len(set(ids)) == len(ids)


def test_help_pages_are_of_nodes_and_of_all():
    assert sorted(path.stem for path in (PACK / "web" / "docs").glob("*.md")) == node_ids()


@pytest.mark.parametrize("node_id", node_ids())
def test_help_page_names_every_input_and_output(node_id):
    page = (PACK / "web" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
    texts, named = read_texts("en")[node_id], first_cells(page)
    inputs = {name for name, about in texts["inputs"].items() if not {name, about["name"]} & named}
    outputs = {about["name"] for about in texts["outputs"].values()} - named
    assert (inputs, outputs) == (set(), set())


@pytest.mark.parametrize("node_id", node_ids())
def test_help_page_is_titled_as_the_node(node_id):
    page = (PACK / "web" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
    title = read_texts("en")[node_id]["display_name"]
    assert page.startswith(f"# {title}\n")
    assert 25 <= len(page.splitlines()) <= 70


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_have_the_same_texts(language):
    own, english = flatten(read_texts(language)), flatten(read_texts("en"))
    assert sorted({path[0] for path in own}) == node_ids()
    assert own.keys() == english.keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_words(language):
    texts = flatten(read_texts(language))
    wrong = {path for path, text in texts.items() if not isinstance(text, str) or not text.strip()}
    assert not wrong
    assert not {path for path, text in texts.items() if SPECIAL & set(text)}


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_descriptions_and_tooltips_are_translated(language):
    texts = flatten(read_texts(language))
    spoken = {path: text for path, text in texts.items() if path[-1] in ("description", "tooltip")}
    assert not {path for path, text in spoken.items() if text.isascii()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_inputs_of_a_node_have_names_of_their_own(language):
    for node_id, texts in read_texts(language).items():
        for side in ("inputs", "outputs"):
            names = [about["name"] for about in texts[side].values()]
            assert len(set(names)) == len(names), (node_id, side, names)
