"""Prompts in a text, one per line."""

from __future__ import annotations

from ...tav_core.errors import ConfigError


def split_prompts(text: str) -> list[str]:
    """The lines of a text that are not empty, without the spaces around them.

    Raises:
        ConfigError: there is none.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ConfigError(got="no prompt", expected="at least one line of text", mend="Write one prompt per line.")
    return lines
