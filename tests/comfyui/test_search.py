"""The host's own node search, typed into in a real browser: the pack is found by the words that people use."""

from __future__ import annotations

import pytest

from tests.comfyui.page import shoot

WORDS = ("tune a video", "train", "training", "style transfer", "motion transfer", "video to video")
# Where the host knows no search aliases, titles alone are searched.
BY_TITLE = ("train", "training", "video to video")
OURS = {"Training: One-Shot Tune", "Video to Video: Sample Edit"}


@pytest.fixture
def search(page):
    """Types words into the search that a double click on the canvas opens; gives the titles found, in order."""
    page.evaluate("app.graph.clear()")
    page.mouse.dblclick(1200, 900)
    page.wait_for_timeout(1000)

    def titles(words: str) -> list[str]:
        page.keyboard.press("Control+a")
        page.keyboard.type(words, delay=20)
        page.wait_for_timeout(1500)
        rows = [row.inner_text().splitlines() for row in page.locator("[role=option]").all()]
        return [lines[0].strip() for lines in rows if lines]

    return titles


def test_the_words_of_users_find_tuning_or_editing_among_the_first_three(search, page, server, definitions):
    aliases = definitions["TAVOneShotTune"].get("search_aliases")
    found = {words: search(words)[:3] for words in (WORDS if aliases else BY_TITLE)}
    shoot(page, server, "search")
    assert {words: titles for words, titles in found.items() if not OURS & set(titles)} == {}
    assert not page.errors
