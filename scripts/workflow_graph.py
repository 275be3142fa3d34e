"""Builds graphs in the format that ComfyUI's page saves and opens, from the node definitions of a server.

Nodes are added in the order in which they run, in columns from left to right; coloured groups hold the columns. A
node's size is computed from its sockets and widgets, so that nothing overlaps.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from node_definitions import Inputs, is_widget, list_inputs, node_height, type_of, widget_values

PACK = "comfyui-tune-a-video"
NOTE_COLORS = {"color": "#432", "bgcolor": "#653"}
# In the page's pixels. The page's own bars are at the left and at the top of the screen.
TITLE, GROUP_TITLE, PADDING, FONT_SIZE, NODE_WIDTH = 30, 50, 24, 24, 320
SCREEN, BARS, SMALLEST = (1620, 850), (90, 110), 0.6
NODE_GAP, COLUMN_GAP, GROUP_GAP = 40, 60, 50


@dataclass(frozen=True)
class Output:
    """An output of a node, to be given as another node's input."""

    node: Node
    slot: int
    type: str


@dataclass(eq=False)
class Node:
    """A node of the graph; `node["model"]` or `node[0]` is one of its outputs.

    Args:
        id: its number, from 1.
        definition: the server's definition of its kind.
        saved: its entry in the file that the page saves.
    """

    id: int
    definition: dict[str, Any]
    saved: dict[str, Any]

    def __getitem__(self, name: str | int) -> Output:
        slot = name if isinstance(name, int) else self.definition["output_name"].index(name)
        return Output(self, slot, self.definition["output"][slot])


@dataclass
class Group:
    """A coloured box around nodes."""

    title: str
    color: str
    left: int
    top: int
    nodes: list[Node] = field(default_factory=list)

    def box(self) -> list[int]:
        """Left, top, width and height."""
        boxes = [(*node.saved["pos"], *node.saved["size"]) for node in self.nodes]
        right = max(x + width for x, _, width, _ in boxes) + PADDING
        bottom = max(y + height for _, y, _, height in boxes) + PADDING
        return [self.left, self.top, right - self.left, bottom - self.top]


class WorkflowGraph:
    """One workflow.

    Args:
        name: the name of its file, and of the graph.
        definitions: a server's answer at `/object_info`.
    """

    def __init__(self, name: str, definitions: dict[str, Any]) -> None:
        self.name, self.definitions = name, definitions
        self.nodes: list[Node] = []
        self.links: list[list[Any]] = []
        self.groups: list[Group] = []
        # Where the next node goes, and how far to the right the nodes of its group reach.
        self.left = self.top = self.right = 0

    def note(self, text: str, *, size: tuple[int, int] = (400, 380)) -> None:
        """Adds a note, left of all groups."""
        self.top = GROUP_TITLE + TITLE
        node = Node(len(self.nodes) + 1, {}, {"type": "MarkdownNote", "title": "Read me", "inputs": [], "outputs": []})
        self.place(node, list(size))
        node.saved.update(properties={}, widgets_values=[text], **NOTE_COLORS)

    def group(self, title: str, color: str, *, below: bool = False) -> None:
        """Starts a group; the nodes that follow are in it.

        Args:
            below: put it below the last group; by default it goes to the right of everything.
        """
        boxes = [group.box() for group in self.groups]
        left, top = max((x + width for x, _, width, _ in boxes), default=self.right) + GROUP_GAP, 0
        if below:
            left, top, _, height = boxes[-1]
            top += height + GROUP_GAP
            self.right = left
        self.groups.append(Group(title, color, left, top))
        self.left, self.top = left + PADDING, top + GROUP_TITLE + TITLE

    def column(self) -> None:
        """Starts a column within the group."""
        self.left, self.top = self.right - PADDING + COLUMN_GAP, self.groups[-1].top + GROUP_TITLE + TITLE

    def add(
        self,
        kind: str,
        *,
        title: str = "",
        wide: int = NODE_WIDTH,
        room: int = 0,
        models: list[dict[str, str]] | None = None,
        **given: Any,
    ) -> Node:
        """Adds a node below the last one of its column.

        Args:
            kind: the node's id.
            title: replaces the node's own title.
            wide: its width.
            room: extra height for what it shows below its widgets.
            models: files that it needs, with `name`, `url` and `directory`; the page offers to download them.
            given: values of widgets and outputs of other nodes, by name. Other widgets keep their defaults.

        Raises:
            ValueError: the node has no such input.
        """
        definition = self.definitions[kind]
        inputs, outputs = list_inputs(definition), zip(definition["output_name"], definition["output"], strict=True)
        if unknown := given.keys() - {name for name, _, _ in inputs}:
            raise ValueError(f"{kind} has no input {', '.join(sorted(unknown))}")
        wired = {name: value for name, value in given.items() if isinstance(value, Output)}
        node = Node(len(self.nodes) + 1, definition, {"type": kind, **({"title": title} if title else {})})
        self.place(node, [wide, node_height(inputs, len(definition["output"])) + room])
        node.saved["inputs"] = self.connect(node, inputs, wired)
        node.saved["outputs"] = [{"name": name, "type": type_, "links": []} for name, type_ in outputs]
        maker = PACK if kind.startswith("TAV") else "comfy-core"
        node.saved["properties"] = {
            "cnr_id": maker,
            "Node name for S&R": kind,
            **({"models": models} if models else {}),
        }
        node.saved["widgets_values"] = widget_values(inputs, given)
        return node

    def connect(self, node: Node, inputs: Inputs, wired: dict[str, Output]) -> list[dict[str, Any]]:
        """A node's sockets: first the inputs that are not widgets, then the widgets with a link."""
        sockets = []
        for name, spec, _ in sorted(inputs, key=lambda entry: is_widget(entry[1])):
            if is_widget(spec) and name not in wired:
                continue
            link = self.link(wired[name], node.id, len(sockets), type_of(spec)) if name in wired else None
            widget = {"widget": {"name": name}} if is_widget(spec) else {}
            sockets.append({"name": name, "type": type_of(spec), "link": link, **widget})
        return sockets

    def link(self, source: Output, target: int, slot: int, kind: str) -> int:
        """Draws a link and returns its number."""
        if source.type != kind:
            raise ValueError(f"{source.type} goes into a socket for {kind}")
        self.links.append([len(self.links) + 1, source.node.id, source.slot, target, slot, kind])
        source.node.saved["outputs"][source.slot]["links"].append(len(self.links))
        return len(self.links)

    def place(self, node: Node, size: list[int]) -> None:
        """Puts a node below the last one of its column."""
        node.saved.update(pos=[self.left, self.top], size=size, flags={}, order=len(self.nodes), mode=0)
        self.top += size[1] + TITLE + NODE_GAP
        self.right = max(self.right, self.left + size[0] + (PADDING if self.groups else 0))
        self.nodes.append(node)
        if self.groups:
            self.groups[-1].nodes.append(node)

    def to_json(self) -> dict[str, Any]:
        """The graph as the page saves it."""
        boxes = [group.box() for group in self.groups]
        size = [max(box[axis] + box[axis + 2] for box in boxes) for axis in (0, 1)]
        # The page does not draw text at a small scale.
        scale = round(max(SMALLEST, min(1.0, SCREEN[0] / size[0], SCREEN[1] / size[1])), 2)
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK}/{self.name}")),
            "revision": 0,
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": [{"id": node.id, **node.saved} for node in self.nodes],
            "links": self.links,
            "groups": [
                {"id": id_, "title": group.title, "bounding": box, "color": group.color, "font_size": FONT_SIZE}
                for id_, (group, box) in enumerate(zip(self.groups, boxes, strict=True), start=1)
            ],
            "config": {},
            "extra": {"ds": {"scale": scale, "offset": [round(edge / scale) for edge in BARS]}},
            "version": 0.4,
        }
