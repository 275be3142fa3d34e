"""Tune-A-Video as a ComfyUI node pack. ComfyUI imports this file and calls `comfy_entrypoint`.

Nothing else is imported before that, so that the library can be used and tested without ComfyUI.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WEB_DIRECTORY = "./web"
__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


def warn_of_missing() -> None:
    """Logs how to install diffusers, which ComfyUI itself does not bring: without it nodes fail at their first run."""
    if find_spec("diffusers") is None:
        import logging

        requirements = Path(__file__).parent / "requirements.txt"
        command = f'"{sys.executable}" -m pip install -r "{requirements}"'
        logging.warning("Tune-A-Video: diffusers is not installed. Run this, then restart ComfyUI:\n\n  %s\n", command)


async def comfy_entrypoint() -> Any:
    """The pack's extension, as ComfyUI's V3 interface asks for it."""
    warn_of_missing()
    from .nodes import TuneAVideoExtension

    return TuneAVideoExtension()
