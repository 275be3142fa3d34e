"""Builds graphs in the format that ComfyUI's page saves and opens, from the node definitions of a server.

Nodes are added in the order in which they run, in columns from left to right; coloured groups lie in the columns. A
node's size is what it takes in either renderer of the page, so that nothing overlaps. The page fits a template into the
screen, and draws no text at a small zoom, so five columns of `TALLEST` are what a screen of 1440x800 can show.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from node_definitions import Inputs, is_widget, lacks_file, list_inputs, node_height, type_of, widget_values

PACK = "comfyui-tune-a-video"
NOTE_COLORS = {"color": "#432", "bgcolor": "#653"}
# In the page's pixels. A folded node is its title alone.
TITLE, GROUP_TITLE, PADDING, FONT_SIZE, NODE_WIDTH, NOTE_HEIGHT, FOLDED = 30, 34, 12, 22, 330, 230, 4
NODE_GAP, COLUMN_GAP, GROUP_GAP, TALLEST = 7, 24, 10, 1029
# What a dropped file may fill of the smaller screen: the page's own bars are at the left and at the top.
SCREEN, BARS, SMALLEST = (1330, 680), (90, 100), 0.6


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

    @property
    def height(self) -> int:
        """What is seen of it below its title."""
        return FOLDED if self.saved["flags"].get("collapsed") else self.saved["size"][1]

    def __getitem__(self, name: str | int) -> Output:
        slot = name if isinstance(name, int) else self.definition["output_name"].index(name)
        return Output(self, slot, self.definition["output"][slot])


@dataclass
class Group:
    """A coloured box around nodes, as wide as a column."""

    title: str
    color: str
    left: int
    top: int
    nodes: list[Node] = field(default_factory=list)

    def box(self) -> list[int]:
        """Left, top, width and height."""
        bottom = max(node.saved["pos"][1] + node.height for node in self.nodes) + PADDING
        return [self.left, self.top, NODE_WIDTH + 2 * PADDING, bottom - self.top]


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
        self.form: dict[str, Any] = {}
        # Where the next node goes.
        self.left, self.top = PADDING, 0

    def note(self, headline: str, *more: str, height: int = NOTE_HEIGHT) -> None:
        """Adds a note, at the top of the first column: a headline, which the page draws larger, and a list."""
        text = f"## {headline}\n\n" + "\n".join(f"- {line}" for line in more)
        self.top = GROUP_TITLE + TITLE
        node = Node(len(self.nodes) + 1, {}, {"type": "MarkdownNote", "inputs": [], "outputs": []})
        self.place(node, [NODE_WIDTH, height])
        node.saved.update(properties={}, widgets_values=[text], **NOTE_COLORS)

    def group(self, title: str, color: str, *, below: bool = False) -> None:
        """Starts a group; the nodes that follow are in it.

        Args:
            below: put it below what is in the column; by default it begins a column.
        """
        if below:
            self.top += PADDING * bool(self.groups) + GROUP_GAP - NODE_GAP - TITLE
        else:
            self.left, self.top = self.left + NODE_WIDTH + 2 * PADDING + COLUMN_GAP, 0
        self.groups.append(Group(title, color, self.left - PADDING, self.top))
        self.top += GROUP_TITLE + TITLE

    def add(
        self,
        kind: str,
        *,
        title: str = "",
        room: int = 0,
        folded: bool = False,
        models: list[dict[str, str]] | None = None,
        **given: Any,
    ) -> Node:
        """Adds a node below the last one of its column.

        Args:
            kind: the node's id.
            title: replaces the node's own title, which the page translates.
            room: extra height for what it shows below its widgets.
            folded: show its title alone.
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
        is_ours = kind.startswith("TAV")
        height = node_height(inputs, len(definition["output"]), is_ours=is_ours, lacks_file=lacks_file(inputs, given))
        # Nodes 2.0 fits the view to a folded node as if it were not folded.
        self.place(node, [NODE_WIDTH, height + room * (not folded)], folded=folded)
        node.saved["inputs"] = self.connect(node, inputs, wired)
        node.saved["outputs"] = [{"name": name, "type": type_, "links": []} for name, type_ in outputs]
        node.saved["properties"] = {
            "cnr_id": PACK if is_ours else "comfy-core",
            "Node name for S&R": kind,
            **({"models": models} if models else {}),
        }
        node.saved["widgets_values"] = widget_values(inputs, given)
        return node

    def show_as_form(self, *, inputs: list[tuple[Node, str, str]], outputs: list[Node]) -> None:
        """Opens as a form instead of as a graph, where ComfyUI knows apps.

        Args:
            inputs: the widgets of the form: the node, the widget's name, and the label that the form gives it.
            outputs: the nodes whose results it shows.
        """
        for node, name, label in inputs:
            socket = {"name": name, "type": "STRING", "link": None, "widget": {"name": name}, "label": label}
            node.saved["inputs"].append(socket)
        shown = {
            "inputs": [[str(node.id), name] for node, name, _ in inputs],
            "outputs": [str(each.id) for each in outputs],
        }
        self.form = {"linearMode": True, "linearData": shown}

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

    def place(self, node: Node, size: list[int], *, folded: bool = False) -> None:
        """Puts a node below the last one of its column."""
        flags = {"collapsed": True} if folded else {}
        node.saved.update(pos=[self.left, self.top], size=size, flags=flags, order=len(self.nodes), mode=0)
        self.top += node.height + TITLE + NODE_GAP
        self.nodes.append(node)
        if self.groups:
            self.groups[-1].nodes.append(node)

    def to_json(self) -> dict[str, Any]:
        """The graph as the page saves it.

        Raises:
            ValueError: it is too tall for the smaller screen.
        """
        boxes = [group.box() for group in self.groups]
        size = [max(box[axis] + box[axis + 2] for box in boxes) for axis in (0, 1)]
        tallest = max(node.saved["pos"][1] + node.saved["size"][1] for node in self.nodes) - GROUP_TITLE
        if tallest > TALLEST:
            raise ValueError(f"{self.name}: a column of {tallest} pixels, more than {TALLEST}")
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
            "extra": {"ds": {"scale": scale, "offset": [round(edge / scale) for edge in BARS]}, **self.form},
            "version": 0.4,
        }
