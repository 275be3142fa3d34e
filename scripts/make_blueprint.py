"""Makes the subgraph blueprint in `subgraphs/`, which ComfyUI lists among its nodes: an edit of a clip as one node.

python scripts/make_blueprint.py --url http://127.0.0.1:8188
"""

from __future__ import annotations

import argparse
import json
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from workflow_graph import NODE_WIDTH, PACK, Node, Output, WorkflowGraph
from workflow_parts import EDIT, LOAD, PREVIEW, SOURCE, TUNE, apply_motion, decode, invert, prompt, sample

NAME = "Video Edit (Tune-A-Video)"
SUBGRAPHS = Path(__file__).resolve().parents[1] / "subgraphs"
# The page's own ids of the nodes at the two ends of a subgraph.
INPUT, OUTPUT = -10, -20
# The id of the node on the outside, which none inside has.
OUTER = 100
SOCKETS = {"model": "MODEL", "clip": "CLIP", "vae": "VAE", "frames": "IMAGE"}
# The widgets that are shown outside, and their values.
WIDGETS = {
    "fps": 0.0,
    "clip_prompt": SOURCE,
    "edited_prompt": "a panda is skiing",
    "num_steps": 500,
    "run_name": "my_motion",
}
KINDS = {float: "FLOAT", int: "INT", str: "STRING"}
TYPES = {**SOCKETS, **{name: KINDS[type(value)] for name, value in WIDGETS.items()}}
DESCRIPTION = "Tunes a Stable Diffusion model on one clip, and renders the clip under an edited prompt."


def outer_inputs() -> Node:
    """A node whose outputs are the inputs of the subgraph, as seen from inside."""
    definition = {"output_name": list(TYPES), "output": list(TYPES.values())}
    return Node(INPUT, definition, {"outputs": [{"name": name, "links": []} for name in TYPES]})


def build(graph: WorkflowGraph) -> tuple[Node, Output]:
    """The inner graph: the node of its inputs, and the output."""
    ends = outer_inputs()
    graph.group("Prompts", LOAD)
    source = prompt(graph, ends, ends["clip_prompt"], "Prompt of the clip")
    edited = prompt(graph, ends, ends["edited_prompt"], "Edited prompt")
    empty = prompt(graph, ends, "", "Empty prompt")
    graph.group("Tune", TUNE)
    sockets = {name: ends[name] for name in ("model", "vae", "frames", "fps", "num_steps", "run_name")}
    tuned = graph.add("TAVOneShotTune", **sockets, positive=source[0], room=PREVIEW)
    for node, name in ((source, "clip_prompt"), (edited, "edited_prompt")):
        node.saved["widgets_values"] = [WIDGETS[name]]
    model = apply_motion(graph, ends["model"], tuned["motion"])
    _, inverted = invert(graph, model, ends["vae"], ends["frames"], empty, below=False, folded=False)
    graph.group("Edit", EDIT)
    latent = sample(graph, model, inverted, edited[0], empty[0])
    return ends, decode(graph, latent, ends["vae"])


def to_blueprint(graph: WorkflowGraph) -> dict[str, Any]:
    """The file: a graph of one node, and the subgraph that the node stands for."""
    ends, video = build(graph)
    id_ = named("subgraph")
    graph.link(video, OUTPUT, 0, "IMAGE")
    outer = {
        "id": OUTER,
        "type": id_,
        "title": NAME,
        "pos": [0, 0],
        "size": [NODE_WIDTH, 420],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [
            {"name": name, "type": type_, "link": None, **({"widget": {"name": name}} if name in WIDGETS else {})}
            for name, type_ in TYPES.items()
        ],
        "outputs": [{"name": "frames", "type": "IMAGE", "links": []}],
        "properties": {},
        "widgets_values": list(WIDGETS.values()),
    }
    return {
        "revision": 0,
        "last_node_id": OUTER,
        "last_link_id": 0,
        "nodes": [outer],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [{"id": id_, **inner(graph, ends)}]},
        "extra": {},
    }


def inner(graph: WorkflowGraph, ends: Node) -> dict[str, Any]:
    """The subgraph: what is on the canvas when it is opened, and its sockets."""
    saved = graph.to_json()
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    right = max(node["pos"][0] for node in saved["nodes"]) + NODE_WIDTH
    inputs = [
        {"id": named(name), "name": name, "type": type_, "linkIds": socket["links"], "pos": [-60, 20 * row]}
        for row, ((name, type_), socket) in enumerate(zip(TYPES.items(), ends.saved["outputs"], strict=True))
    ]
    last = saved["links"][-1]
    shown = {"id": named("frames out"), "name": "frames", "type": "IMAGE", "linkIds": [last[0]], "pos": [right + 80, 0]}
    return {
        "version": 1,
        "state": {
            "lastGroupId": len(saved["groups"]),
            "lastNodeId": saved["last_node_id"],
            "lastLinkId": saved["last_link_id"],
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": NAME,
        "inputNode": {"id": INPUT, "bounding": [-180, 0, 120, 140]},
        "outputNode": {"id": OUTPUT, "bounding": [right + 60, 0, 120, 60]},
        "inputs": inputs,
        "outputs": [shown],
        "widgets": [],
        "nodes": saved["nodes"],
        "groups": saved["groups"],
        "links": [dict(zip(names, link, strict=True)) for link in saved["links"]],
        "extra": {},
        "category": "Tune-A-Video",
        "description": DESCRIPTION,
    }


def named(what: str) -> str:
    """An id that is the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK}/{NAME}/{what}"))


def main() -> None:
    """Writes the blueprint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="a running ComfyUI that has the pack")
    with urllib.request.urlopen(f"{parser.parse_args().url}/object_info") as answer:
        graph = WorkflowGraph(NAME, json.load(answer))
    SUBGRAPHS.mkdir(exist_ok=True)
    path = SUBGRAPHS / f"{NAME}.json"
    path.write_text(json.dumps(to_blueprint(graph), indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
