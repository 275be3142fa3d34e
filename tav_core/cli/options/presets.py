"""The option --preset."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ...sampling.presets import PRESETS, Preset


class UsePreset(argparse.Action):
    """Makes a preset's settings the defaults of the command, from the next parse on."""

    def __init__(self, *args: Any, settings: Callable[[Preset], dict[str, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        setattr(namespace, self.dest, values)
        parser.set_defaults(**self.settings(PRESETS[values]))


def add_preset(parser: argparse.ArgumentParser, settings: Callable[[Preset], dict[str, Any]]) -> None:
    """The option --preset, which other options override."""
    sets = "; ".join(f"{goal}: {describe(settings(preset))}" for goal, preset in PRESETS.items())
    parser.add_argument(
        "--preset", choices=PRESETS, action=UsePreset, settings=settings, help=f"settings for a goal ({sets})"
    )


def describe(settings: dict[str, Any]) -> str:
    """Settings as they are written on the command line."""
    given = {f"--{name.replace('_', '-')}": value for name, value in settings.items()}
    words = {name: f" {value:g}" if isinstance(value, float) else f" {value}" for name, value in given.items()}
    return " ".join(name if given[name] is True else name + words[name] for name in given)
