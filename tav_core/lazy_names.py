"""A package's public names, imported when they are first used, so that importing the package costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names_on_use(package: str, homes: Mapping[str, tuple[str, ...]]) -> tuple[Callable[[str], Any], list[str]]:
    """What a package needs to give out names of its modules: its `__getattr__` (PEP 562), and the names.

    Args:
        package: the package's `__name__`.
        homes: its modules, as in "video.clip", and the public names that each holds.
    """
    names = {name: home for home, held in homes.items() for name in held}

    def get_name(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{names[name]}", package), name)

    return get_name, list(names)
