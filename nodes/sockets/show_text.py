"""Text on a node that has run."""

from __future__ import annotations

from comfy_api.latest import io, ui


def show_text(cls: type[io.ComfyNode], text: str) -> ui.PreviewText:
    """Shows text on the node of this class that is running, and gives it for the history.

    The page shows the `text` of a node's outputs only on nodes of core's own, but progress text on any.
    """
    from server import PromptServer

    PromptServer.instance.send_progress_text(text, cls.hidden.unique_id)
    return ui.PreviewText(text)
