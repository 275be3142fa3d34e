"""The same job by our nodes in a real ComfyUI server, in the CPU time of the server's process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from .peer_processes import JOB, ROOT, environment

READY_SECONDS, JOB_SECONDS, POLL_SECONDS = 400, 600, 0.25
OPTIONS = ("--cpu", "--disable-auto-launch", "--disable-api-nodes", "--database-url", "sqlite:///:memory:")


class NodesJob:
    """A server in a folder of its own, with the pack in it, that does the job when it is told to.

    Args:
        python: ComfyUI's.
        comfy: ComfyUI's folder.
        threads: of PyTorch.
    """

    def __init__(self, python: Path, comfy: Path, *, threads: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        base, port = Path(self.folder.name), free_port()
        self.url, self.log = f"http://127.0.0.1:{port}", base / "server.log"
        (base / "custom_nodes").mkdir()
        (base / "custom_nodes" / "tune_a_video").symlink_to(ROOT, target_is_directory=True)
        command = [str(python), "main.py", *OPTIONS, "--port", str(port), "--base-directory", str(base)]
        told = {**environment(comfy), "OMP_NUM_THREADS": str(threads)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=comfy, env=told, stdout=log, stderr=log)

    def wait_ready(self) -> None:
        """Waits until the server answers.

        Raises:
            RuntimeError: it never does; the message is the end of its log.
        """
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get("/system_stats")
                return
            except OSError:
                time.sleep(POLL_SECONDS)
        raise RuntimeError(f"ComfyUI did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def run(self, seed: int) -> dict[str, float]:
        """Wall and CPU seconds of a job from its queueing to its pictures.

        Raises:
            RuntimeError: it failed; the message is what the server says.
        """
        began, worked = time.perf_counter(), cpu_seconds(self.process.pid)
        body = json.dumps({"prompt": job_graph(seed)}).encode()
        queued = urllib.request.Request(f"{self.url}/prompt", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(queued, timeout=60) as answer:
            job = json.load(answer)["prompt_id"]
        status = self.wait(job)
        if status["status_str"] != "success":
            raise RuntimeError(f"the job failed: {json.dumps(status)[-3000:]}")
        return {"seconds": time.perf_counter() - began, "cpu_seconds": cpu_seconds(self.process.pid) - worked}

    def wait(self, job: str) -> dict[str, Any]:
        """What the history says of a job once it has ended.

        Raises:
            RuntimeError: it does not end.
        """
        deadline = time.monotonic() + JOB_SECONDS
        while time.monotonic() < deadline:
            if job in (history := self.get(f"/history/{job}")):
                return history[job]["status"]
            time.sleep(POLL_SECONDS)
        raise RuntimeError(f"no end of the job after {JOB_SECONDS} s")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def close(self) -> None:
        """Ends the server."""
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def job_graph(seed: int) -> dict[str, Any]:
    """The job in API format. A new seed makes ComfyUI tune again; models and texts it keeps."""
    tune = {"num_steps": JOB["tune_steps"], "learning_rate": 3e-5, "tune_seed": seed, "precision": "fp32"}
    tune |= {"memory": "speed", "preview_every": 0, "save_every": 100, "run_name": f"job{seed}", "resume": "restart"}
    steps, tuned, demo = {"num_steps": JOB["num_steps"]}, ["apply", 0], "demo"
    texts = {name: JOB.get(name, "") for name in ("source", "edited", "empty")}
    links = {"model": [demo, 0], "vae": [demo, 2], "frames": [demo, 3], "positive": ["source", 0]}
    as_tuned = {"strength": 1.0, "temporal_strength": 1.0, "attention": "as tuned"}
    edit = {"cfg": JOB["cfg"], "eta": 0.0, "edit_seed": seed, "latent": ["invert", 0], "trajectory": ["invert", 1]}
    conditioned = {"positive": ["edited", 0], "negative": ["empty", 0]}
    return {
        demo: node("TAVLoadDemoModel"),
        **{name: node("CLIPTextEncode", clip=[demo, 1], text=text) for name, text in texts.items()},
        "tune": node("TAVOneShotTune", **links, **tune),
        "apply": node("TAVApplyMotion", model=[demo, 0], motion=["tune", 0], **as_tuned),
        "encode": node("VAEEncode", pixels=[demo, 3], vae=[demo, 2]),
        "invert": node("TAVDDIMInvert", model=tuned, conditioning=["empty", 0], latent=["encode", 0], **steps),
        "edit": node("TAVSampleEdit", model=tuned, **conditioned, **edit, **steps),
        "decode": node("VAEDecode", samples=["edit", 0], vae=[demo, 2]),
        "show": node("PreviewImage", images=["decode", 0]),
    }


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """One node; a link is [node id, output number]."""
    return {"class_type": class_type, "inputs": inputs}


def cpu_seconds(process: int) -> float:
    """CPU seconds that a process has used, over all threads; Linux only."""
    # The process's name, in brackets, may hold spaces; user and system time are fields 14 and 15.
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
