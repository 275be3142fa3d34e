"""Tune-A-Video as a ComfyUI node pack. ComfyUI imports this file and calls `comfy_entrypoint`.

Nothing else is imported before that, so that the library can be used and tested without ComfyUI.
"""

from __future__ import annotations

from typing import Any

WEB_DIRECTORY = "./web"
__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint() -> Any:
    """The pack's extension, as ComfyUI's V3 interface asks for it."""
    from .nodes import TuneAVideoExtension

    return TuneAVideoExtension()
