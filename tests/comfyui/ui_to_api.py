"""A workflow as the page saves it, made into what the server runs, as the page does it when somebody presses Run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NOTES = {"Note", "MarkdownNote"}
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", DYNAMIC}


def to_api(workflow: dict[str, Any], definitions: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A graph in API format.

    Args:
        workflow: nodes and links, without subgraphs.
        definitions: what the server answers at `/object_info`.
    """
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    graph = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        inputs = read_widgets(node["widgets_values"], definitions[node["type"]])
        inputs |= {socket["name"]: sources[socket["link"]] for socket in node["inputs"] if socket["link"] is not None}
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return graph


def read_widgets(values: list[Any], definition: dict[str, Any]) -> dict[str, Any]:
    """The values of a node's widgets by name.

    Raises:
        ValueError: there are values left, or too few.
    """
    left = iter(values)
    found = dict(walk(definition["input"], left))
    # Uploads have a button, which is a widget as well.
    button = ["image"] * any("_upload" in str(spec) for _, spec, _ in inputs_of(definition["input"]))
    if (rest := list(left)) not in ([], button):
        raise ValueError(f"values that belong to no widget: {rest}")
    return found


def walk(inputs: dict[str, Any], values: Iterator[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of the widgets among some inputs, and of those that a chosen option brings along."""
    for name, spec, required in inputs_of(inputs):
        if not is_widget(spec):
            continue
        options = spec[1] if len(spec) > 1 else {}
        try:
            value = next(values)
        except StopIteration:
            if required:
                raise ValueError(f"no value for {prefix}{name}") from None
            return
        yield prefix + name, value
        if spec[0] == DYNAMIC:
            chosen = next(option for option in options["options"] if option["key"] == value)
            yield from walk(chosen["inputs"], values, f"{prefix}{name}.")
        if options.get("control_after_generate") or name in ("seed", "noise_seed"):
            next(values)


def is_widget(spec: list) -> bool:
    """Whether the page shows an input as a widget, not as a socket alone."""
    return isinstance(spec[0], list) or spec[0] in WIDGETS


def inputs_of(inputs: dict[str, Any]) -> Iterator[tuple[str, list, bool]]:
    """Name and specification of inputs, in order, and whether they are required."""
    for kind in ("required", "optional"):
        for name, spec in inputs.get(kind, {}).items():
            yield name, spec, kind == "required"
