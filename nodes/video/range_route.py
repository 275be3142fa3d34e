"""Tells Load Clip on the page, before a run, which frames its widgets take. The page asks when a widget has changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..sockets.folders import find_given
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
    path = find_given(widgets.get("video")) if isinstance(widgets, dict) else None
    # In a thread of its own, so that ComfyUI's server goes on answering.
    text = await asyncio.to_thread(preview_range, path, widgets) if path else ""
    return web.json_response({"text": text})
