"""The graph that is being queued: what a node can say of its inputs, and of the nodes they come from, before any runs.

ComfyUI shows a node that is validated only its own widgets. So the graph of a request is kept while the request is
handled, by a hook that ComfyUI has for extensions. Where the hook is not called there is no graph, and what is wrong is
said when the node runs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

from ...tav_core.errors import TavError

# Each request is handled in a context of its own, so that two users do not see each other's graph.
QUEUED: ContextVar[Any] = ContextVar("tune_a_video_queued_graph", default=None)
# Nodes that hold a text, and the inputs that they may hold it in.
TEXT_INPUTS = ("text", "value", "string")
# What such a node may have besides: what encodes the text.
BESIDE_TEXT = {"clip"}


class Feed(NamedTuple):
    """A node that is linked to an input: its class, its id, and which of its outputs is linked."""

    class_type: str
    node: str
    output: int


def watch_graphs() -> None:
    """Asks ComfyUI for each graph that is queued, before it is validated. Without a server there are none."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.add_on_prompt_handler(keep_graph)


def keep_graph(request: Any) -> Any:
    """ComfyUI's hook: keeps the graph of a request, and hands the request on as it is."""
    QUEUED.set(request.get("prompt") if isinstance(request, dict) else None)
    return request


def read_input(graph: Any, node: Any, name: str) -> Any:
    """A value or link of a node in an API-format graph; None if there is none. The graph may be malformed."""
    about = graph.get(str(node)) if isinstance(graph, dict) else None
    inputs = about.get("inputs") if isinstance(about, dict) else None
    return inputs.get(name) if isinstance(inputs, dict) else None


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[1], int)


def read_value(graph: Any, node: Any, name: str) -> Any:
    """The value of a widget; None if it is linked or not there."""
    value = read_input(graph, node, name)
    return None if is_link(value) else value


def find_feed(graph: Any, node: Any, name: str) -> Feed | None:
    """The node that is linked to an input; None if none is, or if it is not in the graph."""
    link = read_input(graph, node, name)
    about = graph.get(str(link[0])) if is_link(link) else None
    kind = about.get("class_type") if isinstance(about, dict) else None
    return Feed(kind, str(link[0]), link[1]) if isinstance(kind, str) else None


def find_text(graph: Any, node: Any, name: str) -> str | None:
    """The text that reaches an input through nodes that hold one; None if it is not plain, or a node changes it."""
    for _ in range(4):
        feed = find_feed(graph, node, name)
        held = None if feed is None else find_held(graph, feed.node)
        if held is None:
            return None
        node, name = feed.node, held
        text = read_input(graph, node, name)
        if isinstance(text, str):
            return text
    return None


def find_held(graph: Any, node: str) -> str | None:
    """The input of a node that holds its text. None without one, or if there are others besides, such as what
    StringReplace looks for: they may make another text of it.
    """
    inputs = graph[node].get("inputs")
    held = set(inputs) - BESIDE_TEXT if isinstance(inputs, dict) else set()
    return held.pop() if len(held) == 1 and held <= {*TEXT_INPUTS} else None


def find_twin(graph: Any, node: Any, class_type: str, widget: str, read: Callable[[str], str]) -> str | None:
    """What a node's widget names, if another node of its class in a graph names the same; None if none does.

    Args:
        read: gives what a value names, and raises a `TavError` for one that names nothing.
    """
    # As Windows compares names of files.
    names = {
        each: read(value).casefold()
        for each, about in (graph.items() if isinstance(graph, dict) else ())
        if isinstance(about, dict)
        and about.get("class_type") == class_type
        and isinstance(value := read_value(graph, each, widget), str)
        and explain(partial(read, value)) is True
    }
    own = names.pop(str(node), None)
    return own if own in names.values() else None


def explain(check: Callable[[], Any]) -> bool | str:
    """What `validate_inputs` of a node gives: True if the check passes, else the message of its error."""
    try:
        check()
    except TavError as error:
        return str(error)
    return True
