"""The pack's nodes do a whole job as a prompt of ComfyUI: one for every line of stdin, its figures as a line of stdout.

Usage: COMFYUI_PATH=... COMFYUI_BASE=... python -m benchmarks.job_nodes '{"num_steps": 20, "tune_steps": 40, ...}'

The prompt is checked and executed by ComfyUI's own executor, which keeps nothing from one prompt to the next; messages
for a page are made, but there is no page that they are sent to.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from .in_comfyui import pack

# After in_comfyui, which sets ComfyUI up.
import execution  # isort: skip
import torch  # isort: skip
from server import PromptServer  # isort: skip
from .clocks import time_run  # isort: skip
from .peer_processes import MARK  # isort: skip

Graph = dict[str, dict[str, Any]]
PAGE = "benchmark"


class Page:
    """Stands in for ComfyUI's server: notes the CPU seconds of each node from what it is told."""

    def __init__(self) -> None:
        self.client_id: str | None = PAGE
        self.last_node_id: str | None = None
        self.last_prompt_id = ""
        self.sockets_metadata: dict[str, Any] = {}
        self.forget()

    def forget(self) -> None:
        self.seconds: dict[str, float] = {}
        self.running, self.since = "before", time.process_time()

    def send_sync(self, event: Any, data: Any, to: str | None = None) -> None:
        if event == "executing":
            now = time.process_time()
            self.seconds[self.running] = self.seconds.get(self.running, 0.0) + now - self.since
            self.running, self.since = data["node"] or "after", now


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """One node; a link is [node id, output number]."""
    return {"class_type": class_type, "inputs": inputs}


def job_graph(task: dict[str, Any], run: int) -> Graph:
    """The whole way, from the demo's clip to pictures of the edit."""
    texts = {name: node("CLIPTextEncode", clip=["demo", 1], text=task[name]) for name in ("source", "edited")}
    links = {"model": ["demo", 0], "vae": ["demo", 2], "frames": ["demo", 3], "positive": ["source", 0]}
    tuning = {"num_steps": task["tune_steps"], "learning_rate": task["learning_rate"], "tune_seed": task["seed"]}
    saving = {"save_every": task["save_every"], "run_name": f"run_{run}", "resume": "restart", "preview_every": 0}
    settings = {"precision": "fp32", "memory": "speed"}
    whole = {"strength": 1.0, "temporal_strength": 1.0, "attention": "as tuned"}
    start = {"latent": ["invert", 0], "trajectory": ["invert", 1]}
    texts["empty"] = node("CLIPTextEncode", clip=["demo", 1], text="")
    told = {"positive": ["edited", 0], "negative": ["empty", 0]}
    edit = {"num_steps": task["num_steps"], "cfg": task["cfg"], "eta": 0.0, "edit_seed": task["seed"]}
    return texts | {
        "demo": node("TAVLoadDemoModel"),
        "tune": node("TAVOneShotTune", **links, **tuning, **saving, **settings),
        "apply": node("TAVApplyMotion", model=["demo", 0], motion=["tune", 0], **whole),
        "encode": node("VAEEncode", pixels=["demo", 3], vae=["demo", 2]),
        "invert": node(
            "TAVDDIMInvert",
            model=["apply", 0],
            conditioning=["empty", 0],
            latent=["encode", 0],
            num_steps=task["num_steps"],
        ),
        "edit": node("TAVSampleEdit", model=["apply", 0], **told, **start, **edit),
        "decode": node("VAEDecode", samples=["edit", 0], vae=["demo", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix=f"run_{run}"),
    }


async def register() -> None:
    """Makes the pack's nodes known to ComfyUI, as it does itself when it starts, in its module of nodes."""
    extension = await pack.comfy_entrypoint()
    for each in await extension.get_node_list():
        execution.nodes.NODE_CLASS_MAPPINGS[each.GET_SCHEMA().node_id] = each


def run_prompt(task: dict[str, Any], page: Page, run: int) -> None:
    """Checks and executes one prompt.

    Raises:
        RuntimeError: ComfyUI refused it, or a node failed.
    """
    graph, name = job_graph(task, run), f"prompt {run}"
    valid, error, outputs, node_errors = asyncio.run(execution.validate_prompt(name, graph, None))
    if not valid or node_errors:
        raise RuntimeError(f"ComfyUI refused the prompt: {error} {node_errors}")
    room = {"lru": 0, "ram": 0.0, "ram_inactive": 0.0}
    executor = execution.PromptExecutor(page, cache_type=execution.CacheType.NONE, cache_args=room)
    executor.execute(graph, name, {"client_id": PAGE}, outputs)
    # As the server tells a page when a prompt has ended.
    page.send_sync("executing", {"node": None})
    if not executor.success:
        raise RuntimeError(f"a node failed: {executor.status_messages[-1]}")


def main() -> None:
    """Reads its task, loads the nodes, and does jobs until stdin ends."""
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    asyncio.run(register())
    page = PromptServer.instance = Page()
    print(MARK + json.dumps({}), flush=True)
    for run, _ in enumerate(sys.stdin):
        page.forget()
        seconds, cpu_seconds = time_run(lambda run=run: run_prompt(task, page, run), "cpu")
        frames = sorted(map(str, (Path(task["base"]) / "output").glob(f"run_{run}_*.png")))
        told = {"seconds": seconds, "cpu_seconds": cpu_seconds, "parts": page.seconds, "frames": frames}
        print(MARK + json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
