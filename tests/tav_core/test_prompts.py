"""tav_core/prompts.py: which parentheses are weights, which are text, and what is no prompt."""

from __future__ import annotations

import pytest

from tav_core.errors import PromptError
from tav_core.prompts import plain_text, read_weights


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("", [("", 1)]),
        ("a red car", [("a red car", 1)]),
        ("a car (red), parked", [("a car (red), parked", 1)]),
        ("a (red:1.2) car", [("a ", 1), ("red", 1.2), (" car", 1)]),
        ("(red : 0.5 )", [("red ", 0.5)]),
        ("(a red car:-1)", [("a red car", -1)]),
        ("(a (red:1.3) car:0.8)", [("a ", 0.8), ("red", 1.3), (" car", 0.8)]),
        ("(a car (red):1.5)", [("a car (red)", 1.5)]),
        (r"\(red:1.2\)", [("(red:1.2)", 1)]),
        (r"(\(red\):1.2)", [("(red)", 1.2)]),
        (r"\(\(red\)\)", [("((red))", 1)]),
        ("a man :) and (a cat:1.2)", [("a man :) and ", 1), ("a cat", 1.2)]),
        ("a man :( and (a cat:1.2)", [("a man :( and ", 1), ("a cat", 1.2)]),
        ("(:1.2)", [("(:1.2)", 1)]),
        ("(note: red)", [("(note: red)", 1)]),
        ("(ratio 16:9)", [("ratio 16", 9)]),
        ("滑雪(的人:1.1)", [("滑雪", 1), ("的人", 1.1)]),
        ("(red:1.2)(blue:1.2)", [("red", 1.2), ("blue", 1.2)]),
        (r"a\b", [(r"a\b", 1)]),
    ],
)
def test_weights_are_read_and_text_stays_text(prompt, pieces):
    assert read_weights(prompt) == pieces
    assert plain_text(prompt) == "".join(text for text, _ in pieces)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a ((red)) car", r"'\(\(red\)\)'.*\(red:1\.21\).*\\\(\\\(red\\\)\\\)"),
        ("((red:1.3))", r"number: \(red:1\.3\)"),
        ("(red:nan)", "the weight nan of 'red'.*finite"),
        ("(red:1e999)", "the weight 1e999"),
        ("a \ud83c", r"character 3 is '\\ud83c'"),
        ("\udcff", r"character 1 is '\\udcff'"),
        (b"a cat", "of type bytes"),
        (None, "of type NoneType"),
    ],
)
def test_what_is_no_prompt_is_refused_in_words(prompt, said):
    with pytest.raises(PromptError, match=said):
        read_weights(prompt)


def test_a_thousand_parentheses_take_no_time():
    assert read_weights("(a " * 5000 + ")" * 4000)
    assert read_weights("(" * 100_000)
