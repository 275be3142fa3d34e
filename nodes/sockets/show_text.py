"""Shows text on a node once it has run."""

from __future__ import annotations

from comfy_api.latest import io, ui


def show_text(cls: type[io.ComfyNode], text: str) -> ui.PreviewText:
    """Shows text on the running node of this class, and returns it as a UI output for the history.

    The front end shows a node's `text` output only on some of ComfyUI's own nodes, but progress text on any node.
    """
    from server import PromptServer

    PromptServer.instance.send_progress_text(text, cls.hidden.unique_id)
    return ui.PreviewText(text)
