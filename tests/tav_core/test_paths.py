"""tav_core/paths.py: names of files from texts."""

from __future__ import annotations

import unicodedata

import pytest

from tav_core.paths import NAME_BYTES, NAME_LENGTH, as_file_name

LONG = "a wide photograph of a man skiing down a steep snowy mountain in a {} jacket"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A cat, running!", "a-cat-running"),
        ("a dog, 빨간", "a-dog-빨간"),
        ("snake_case is kept", "snake_case-is-kept"),
        ("हिन्दी भालू", "हिन्दी-भालू"),
        (unicodedata.normalize("NFD", "Ein Bär"), unicodedata.normalize("NFC", "ein-bär")),
        ("", "empty-prompt"),
        ("  ", "empty-prompt"),
    ],
)
def test_letters_with_their_marks_and_digits_make_the_name(text, name):
    assert as_file_name(text) == name


def test_texts_that_are_cut_or_have_no_letters_have_names_of_their_own():
    """The second run of a long prompt with another end replaced the video of the first."""
    texts = [LONG.format(colour) for colour in ("red", "blue")] + ["🐶", "🐱", "猫" * 90, "猫" * 91, "\udcff", "\udcfe"]
    names = [as_file_name(text) for text in texts]
    assert len({*names}) == len(texts) and names == [as_file_name(text) for text in texts]
    assert names[0].startswith("a-wide-photograph-of-a-man-skiing-down-") and names[2].startswith("empty-prompt-")
    for name in names:
        assert len(name) <= NAME_LENGTH and len(name.encode()) <= NAME_BYTES
    assert as_file_name("x" * NAME_LENGTH) == "x" * NAME_LENGTH


def test_a_name_for_what_has_none():
    assert as_file_name("", empty="clip") == "clip" and as_file_name("!!", empty="clip").startswith("clip-")
