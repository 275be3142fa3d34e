"""Shows text on a node once it has run."""

from __future__ import annotations

import logging

from comfy_api.latest import io, ui


def show_text(cls: type[io.ComfyNode], text: str) -> ui.PreviewText:
    """Shows text on the running node of this class, and returns it as a UI output for the history.

    The front end shows a node's `text` output only on some of ComfyUI's own nodes, but progress text on any node.
    """
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    # To the page that queued the run alone: others may have another node of this id.
    if server is not None and server.client_id is not None:
        server.send_progress_text(text, cls.hidden.unique_id, server.client_id)
    return ui.PreviewText(text)


def warn(cls: type[io.ComfyNode], text: str) -> None:
    """Says in ComfyUI's log, and on the running node of this class, what its result may suffer from."""
    logging.warning("%s: %s", cls.SCHEMA.display_name if cls.SCHEMA else cls.__name__, text)
    show_text(cls, f"Note: {text}")
