"""Load: many mixed prompts from several clients at once on one real ComfyUI.

    COMFYUI_PATH=... COMFYUI_PYTHON=... python -m tests.faults.load --prompts 200 --clients 8

Each prompt is one of a few kinds, small ones on the demo model. Every result is compared with the first of its kind;
the server's memory is read after each prompt (on Linux), and the messages that a tuning run sends are counted.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import re
import shutil
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from tests.comfyui.graphs import EDIT, Graph, changed, clip_graph, motion_graph, node, text, tune_graph
from tests.comfyui.server import PACK, Client, Server, error_of

SMALL = {"num_frames": 3, "width": 64, "height": 64}
# A quarter of the prompts fill caches and pools; after them the memory should stay.
WARM_UP = 0.25
MOTION = "load_base"


def small_demo(graph: Graph) -> Graph:
    """A graph on three of the demo clip's frames."""
    few = node("ImageFromBatch", image=["demo", 3], batch_index=0, length=3)
    cut = {
        name: {**about, "inputs": {k: ["few", 0] if v == ["demo", 3] else v for k, v in about["inputs"].items()}}
        for name, about in graph.items()
    }
    return {**cut, "few": few}


def edited() -> Graph:
    links = {"model": ["apply", 0], "positive": ["empty", 0], "negative": ["empty", 0], "latent": ["invert", 0]}
    sampling = node("TAVSampleEdit", **{**links, "trajectory": ["invert", 1], **EDIT, "num_steps": 2})
    return changed({**motion_graph(f"{MOTION}.safetensors"), "edit": sampling}, "decode", samples=["edit", 0])


def sampled() -> Graph:
    how = {"seed": 1, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.8}
    links = {"model": ["apply", 0], "positive": ["empty", 0], "negative": ["empty", 0], "latent_image": ["encode", 0]}
    graph = {**motion_graph(f"{MOTION}.safetensors"), "edit": node("KSampler", **links, **how)}
    del graph["invert"]
    return changed(graph, "decode", samples=["edit", 0])


def kinds() -> dict[str, Graph]:
    """The prompts by name. The last two fail, one at its validation and one as it runs."""
    return {
        "clip": clip_graph(**SMALL),
        "invert": small_demo(motion_graph(f"{MOTION}.safetensors")),
        "edit": small_demo(edited()),
        "stock sampler": small_demo(sampled()),
        "another prompt": small_demo({**edited(), "empty": text("a red circle")}),
        "tune": small_demo(tune_graph(run_name="load_tune", num_steps=2, resume="restart")),
        "no such motion": motion_graph("gone.safetensors"),
        "too few frames": clip_graph(num_frames=500),
    }


@dataclass
class Found:
    """What came of the prompts, kept by several threads."""

    results: dict[str, set[str]] = field(default_factory=dict)
    counts: Counter = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)
    stamps: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def run_all(server: Server, *, prompts: int, clients: int, seconds: float, seed: int = 0) -> dict[str, Any]:
    """Queues prompts from several clients until all are done or the time is over; the figures."""
    chance, graphs, found = random.Random(seed), kinds(), Found()
    names = [chance.choice(list(graphs)) for _ in range(prompts)]
    queue, began = iter(names), time.monotonic()

    def work() -> None:
        client = server.connect()
        try:
            while time.monotonic() - began < seconds:
                with found.lock:
                    name = next(queue, None)
                if name is None:
                    return
                result = result_of(server, client, name, graphs[name], found)
                with found.lock:
                    found.results.setdefault(name, set()).add(result)
                    found.counts[name] += 1
                    found.memory.append(resident(server))
        except Exception as error:
            found.errors.append(repr(error))
        finally:
            client.close()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return figures(found, clients, time.monotonic() - began)


def result_of(server: Server, client: Client, name: str, graph: Graph, found: Found) -> str:
    """What a prompt gave, as text: a hash of its pictures or motion, or its error."""
    answer = client.queue(graph)
    if answer.get("node_errors") or "prompt_id" not in answer:
        return "refused: " + json.dumps(answer.get("node_errors"), sort_keys=True)
    client.messages.clear()
    done = client.wait(answer["prompt_id"])
    if name == "tune":
        with found.lock:
            own = [m["at"] for m in client.messages if m["data"].get("prompt_id") == answer["prompt_id"]]
            found.stamps[answer["prompt_id"]] = own
    if error := error_of(done):
        return "failed: " + re.sub(r"/\S+/", "", error)
    return pictures(server, done) if name != "tune" else motion(server)


def pictures(server: Server, done: dict[str, Any]) -> str:
    total = hashlib.sha256()
    for about in [image for name in sorted(done["outputs"]) for image in done["outputs"][name].get("images", [])]:
        where = urllib.parse.urlencode({key: about[key] for key in ("filename", "subfolder", "type")})
        with urllib.request.urlopen(f"{server.url}/view?{where}", timeout=60) as reply:
            total.update(Image.open(io.BytesIO(reply.read())).convert("RGB").tobytes())
    return total.hexdigest()


def motion(server: Server) -> str:
    """The motion file that every tuning prompt writes; it is replaced whole, so it can be read at any moment."""
    path = server.base / "models" / "tav_motion" / "load_tune.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def resident(server: Server) -> int:
    """Bytes of memory that the server has; 0 where the system does not tell."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        return 0
    return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) * 1024


def figures(found: Found, clients: int, seconds: float) -> dict[str, Any]:
    """How much was done, whether it was right, what memory it took, and how many messages came in one second."""
    warm = found.memory[int(len(found.memory) * WARM_UP) :]
    thirds = [sum(part) / len(part) for part in (warm[: len(warm) // 3], warm[-len(warm) // 3 :]) if part]
    ends = {name: min(results) for name, results in found.results.items()}
    busiest = [sum(start <= at < start + 1 for at in own) for own in found.stamps.values() for start in own]
    return {
        "prompts": sum(found.counts.values()),
        "clients": clients,
        "seconds": round(seconds, 1),
        "of each kind": dict(found.counts),
        "kinds with more than one result": sorted(n for n, results in found.results.items() if len(results) > 1),
        "errors": found.errors,
        "failed": {name: end[:120] for name, end in ends.items() if end.startswith(("failed", "refused"))},
        "memory after warm-up, MB": [round(min(warm) / 1e6), round(max(warm) / 1e6)] if warm else [],
        "memory, last third to first": round(thirds[1] / thirds[0] - 1, 4) if len(thirds) == 2 and thirds[0] else None,
        "most messages of a tuning in a second": max(busiest, default=0),
    }


def start(comfy: Path, python: Path, base: Path) -> Server:
    """A server that has what the prompts need: a clip and a motion. It keeps the results of the last prompt alone."""
    server = Server(comfy, python, base, "--cache-classic").wait_ready()
    shutil.copy(PACK / "demo" / "clip.mp4", base / "input" / "clip.mp4")
    client = server.connect()
    assert error_of(client.run(small_demo(tune_graph(run_name=MOTION, num_steps=2)))) == ""
    client.close()
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=600)
    args = parser.parse_args()
    comfy, python = (Path(os.environ[name].split(os.pathsep)[0]) for name in ("COMFYUI_PATH", "COMFYUI_PYTHON"))
    with tempfile.TemporaryDirectory() as folder:
        server = start(comfy, python, Path(folder))
        try:
            asked = {"prompts": args.prompts, "clients": args.clients, "seconds": args.seconds}
            print(json.dumps(run_all(server, **asked), indent=1))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
