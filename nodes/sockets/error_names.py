"""The names of the library's errors as ComfyUI shows them."""

from __future__ import annotations

from ...tav_core.errors import TavError


def shorten_error_names(base: type[TavError] = TavError) -> None:
    """Makes ComfyUI show "ClipError: Got one frame ..." of an error of this class or of one below it.

    ComfyUI puts the module in front of a message, and a pack's module is the path of its folder. Only the names of
    built-in errors are shown without one.
    """
    base.__module__ = "builtins"
    for error in base.__subclasses__():
        shorten_error_names(error)
