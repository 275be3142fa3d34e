"""Tells Load Clip on the page, before a run, which frames its widgets take. The page asks when a widget has changed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths

from .clip_range import preview_range

if TYPE_CHECKING:
    from aiohttp import web

ROUTE = "/tune_a_video/clip_range"


def add_range_route() -> None:
    """Adds the route to ComfyUI's server. Without a server there is none."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.routes.post(ROUTE)(answer)


async def answer(request: web.Request) -> web.Response:
    """Takes the widgets by name, as JSON. Gives a `text`, which is empty if nothing can be said."""
    from aiohttp import web

    try:
        widgets = await request.json()
    except ValueError:
        widgets = None
    path = find_video(widgets.get("video")) if isinstance(widgets, dict) else None
    # In a thread of its own, so that ComfyUI's server goes on answering.
    text = await asyncio.to_thread(preview_range, path, widgets) if path else ""
    return web.json_response({"text": text})


def find_video(name: Any) -> Path | None:
    """The file that Load Clip would read; None if it is not there, or not in one of ComfyUI's folders."""
    if not isinstance(name, str) or not folder_paths.exists_annotated_filepath(name):
        return None
    path = Path(folder_paths.get_annotated_filepath(name)).resolve()
    places = (folder_paths.get_input_directory, folder_paths.get_output_directory, folder_paths.get_temp_directory)
    inside = any(path.is_relative_to(Path(place()).resolve()) for place in places)
    return path if inside and path.is_file() else None
