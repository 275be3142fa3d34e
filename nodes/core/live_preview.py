"""Which picture the page shows on a node: the live preview of a run, or the node's output, but never both.

The classic page shows one of them. Nodes 2.0 shows both, one below the other, and the node grows by one picture. The
page has no message that takes a picture off a node, but it does so by itself in two cases, which are used here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

# The page takes a preview off 0.4 s after it was told. An output that comes before is shown as the preview.
PAGE_SECONDS = 0.6


def hide_output(node_id: str) -> None:
    """Takes the output of an earlier run off a node: a message says that its output is now no picture."""
    from comfy_execution.progress import get_progress_state

    run = get_progress_state()
    empty = {"node": node_id, "display_node": shown_at(run, node_id), "output": {"images": []}}
    send("executed", {**empty, "prompt_id": run.prompt_id})


def show_live_preview(node_id: str, picture: tuple[str, Image, int], step: int, num_steps: int) -> None:
    """Shows a picture on a running node, without telling that it has made progress: it is still at this step.

    Args:
        picture: its format, the picture, and the longest side that it is sent with.
    """
    from comfy_execution.progress import get_progress_state

    get_progress_state().update_progress(node_id, step, num_steps, picture)


def hide_live_preview(node_id: str) -> None:
    """Takes the live preview off a node: the page does so for a node that begins to run, so it is told that it does."""
    from comfy_execution.progress import get_progress_state

    run = get_progress_state()
    told = {
        name: {
            **state,
            "state": state["state"].value,
            "node_id": name,
            "prompt_id": run.prompt_id,
            "display_node_id": shown_at(run, name),
            "parent_node_id": run.dynprompt.get_parent_node_id(name),
            "real_node_id": run.dynprompt.get_real_node_id(name),
        }
        for name, state in run.nodes.items()
        if state["state"].value != "pending"
    }
    others = {name: about for name, about in told.items() if name != node_id}
    for nodes in (others, told):
        send("progress_state", {"prompt_id": run.prompt_id, "nodes": nodes})
    time.sleep(PAGE_SECONDS)


def shown_at(run: Any, node_id: str) -> str:
    """The node on the page that shows what a node does; another one where a subgraph was expanded."""
    return run.dynprompt.get_display_node_id(node_id)


def send(kind: str, message: dict[str, Any]) -> None:
    """Sends a message to the page that queued the run, if it is still open."""
    from server import PromptServer

    server = PromptServer.instance
    if server.client_id is not None:
        server.send_sync(kind, message, server.client_id)
