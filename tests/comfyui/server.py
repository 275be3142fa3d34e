"""A real ComfyUI server on loopback, and a client for it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.comfyui import dynamic_vram as dynamic

PACK = Path(__file__).resolve().parents[2]
# It starts in about 10 seconds; a machine that is busy with other things took more than 120.
READY_SECONDS, PROMPT_SECONDS = 400, 600


class Server:
    """ComfyUI in a folder of its own, with the pack linked in.

    Args:
        comfy: ComfyUI's folder.
        python: the interpreter that it is installed for.
        base: an empty folder for models, input, output and custom_nodes.
        args: further arguments.
        dynamic_vram: as ComfyUI runs on NVIDIA cards, see dynamic_vram.py.
    """

    def __init__(self, comfy: Path, python: Path, base: Path, *args: str, dynamic_vram: bool = False) -> None:
        self.base, self.log, self.port = base, base / "server.log", free_port()
        self.version = version_of(comfy)
        for folder in ("custom_nodes", "models/checkpoints", "models/loras", "models/controlnet", "input", "output"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        link = base / "custom_nodes" / "tune_a_video"
        if not link.exists():
            link.symlink_to(PACK, target_is_directory=True)
        if dynamic_vram:
            dynamic.add_to(base / "custom_nodes")
        command = [python, "main.py", "--listen", "127.0.0.1", "--port", str(self.port)]
        command += [] if os.environ.get("COMFYUI_GPU") else ["--cpu"]
        command += ["--disable-auto-launch", "--disable-api-nodes", "--base-directory", base, *args]
        command += ["--database-url", "sqlite:///:memory:", "--preview-method", "auto"]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=comfy, stdout=log, stderr=log, env=environment)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self) -> Server:
        """Waits until the server answers; shows its log if it never does."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get("/system_stats")
                return self
            except OSError:
                time.sleep(0.3)
        raise RuntimeError(f"ComfyUI did not start:\n{self.log_text()[-4000:]}")

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: Any = None) -> Any:
        data = json.dumps({} if body is None else body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return json.loads(text) if text else {}

    def connect(self) -> Client:
        return Client(self)


class Client:
    """One browser's worth of ComfyUI: queues prompts and listens to what the server says of them."""

    def __init__(self, server: Server) -> None:
        from websockets.sync.client import connect

        self.server, self.id, self.left_open = server, uuid.uuid4().hex, ExitStack()
        url = f"ws://127.0.0.1:{server.port}/ws?clientId={self.id}"
        # From 17.1 on, websockets warns of a connection that was not made by `with`.
        self.socket = self.left_open.enter_context(connect(url, max_size=2**26))
        self.messages: list[dict[str, Any]] = []
        self.previews: list[bytes] = []

    def queue(self, graph: dict[str, Any]) -> dict[str, Any]:
        """Queues a graph in API format; the server's answer, errors and all."""
        return self.server.post("/prompt", {"prompt": graph, "client_id": self.id})

    def run(self, graph: dict[str, Any], *, on_message=None) -> dict[str, Any]:
        """Queues a graph and waits for its end; what the history then says.

        Raises:
            RuntimeError: the graph does not validate.
        """
        answer = self.queue(graph)
        if "prompt_id" not in answer or answer.get("node_errors"):
            raise RuntimeError(json.dumps(answer, indent=1)[:3000])
        return self.wait(answer["prompt_id"], on_message=on_message)

    def wait(self, prompt_id: str, *, on_message=None) -> dict[str, Any]:
        """Listens until a prompt has ended; what the history then says."""
        deadline = time.monotonic() + PROMPT_SECONDS
        while time.monotonic() < deadline:
            message = self.socket.recv(timeout=deadline - time.monotonic())
            if isinstance(message, bytes):
                self.previews.append(message)
                continue
            message = json.loads(message)
            self.messages.append({**message, "at": time.monotonic()})
            if on_message:
                on_message(message)
            data = message.get("data", {})
            if message["type"] == "executing" and data.get("node") is None and data.get("prompt_id") == prompt_id:
                return self.history(prompt_id)
        raise TimeoutError(f"no end of {prompt_id}: {self.server.log_text()[-2000:]}")

    def history(self, prompt_id: str) -> dict[str, Any]:
        """The history of a prompt, which may come a moment after its last message."""
        for _ in range(100):
            found = self.server.get(f"/history/{prompt_id}")
            if prompt_id in found:
                return found[prompt_id]
            time.sleep(0.05)
        raise TimeoutError(f"no history of {prompt_id}")

    def close(self) -> None:
        self.left_open.close()


def version_of(comfy: Path) -> str:
    """ComfyUI's version, as its folder says."""
    return re.search(r'__version__ = "(.+?)"', (comfy / "comfyui_version.py").read_text())[1]


def free_port() -> int:
    """A port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def error_of(history: dict[str, Any]) -> str:
    """The message of the node that failed; "" if none did."""
    told = [about for kind, about in history["status"]["messages"] if kind == "execution_error"]
    return told[0]["exception_message"] if told else ""
