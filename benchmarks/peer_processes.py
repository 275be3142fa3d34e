"""Processes of ComfyUI's Python that measure, and how their figures are read."""

from __future__ import annotations

import json
import os
import subprocess
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Marks the lines of stdout that hold figures, because nodes print there as well.
MARK = "RESULTS "


def environment(comfy: Path, *, bytecode: Path | None = None) -> dict[str, str]:
    """For a process of ComfyUI's Python: nothing is downloaded, and no bytecode is written beside anyone's code.

    Args:
        bytecode: a folder for it; None to write none.
    """
    told = {"PYTHONDONTWRITEBYTECODE": "1"} if bytecode is None else {"PYTHONPYCACHEPREFIX": str(bytecode)}
    return {**os.environ, "COMFYUI_PATH": str(comfy), "HF_HUB_OFFLINE": "1", **told}


class Contestant:
    """A process that does one step whenever it is told to.

    Args:
        python: that it runs in.
        module: that reads a task, and answers each line with figures.
        task: in JSON, its only argument.
        comfy: ComfyUI's folder.
        base: where ComfyUI's models and results are; its own folder if None.
    """

    def __init__(
        self, python: Path, module: str, task: Mapping[str, Any], comfy: Path, *, base: Path | None = None
    ) -> None:
        # What it said last besides figures, for the message of an error.
        self.said: deque[str] = deque(maxlen=30)
        command = [str(python), "-m", module, json.dumps(task)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        told = {**environment(comfy), **({} if base is None else {"COMFYUI_BASE": str(base)})}
        self.process = subprocess.Popen(command, cwd=ROOT, env=told, text=True, **pipes)

    def run(self, seed: int) -> dict[str, Any]:
        """The figures of one more step."""
        assert self.process.stdin, "it was opened with a pipe"
        self.process.stdin.write(f"{seed}\n")
        self.process.stdin.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        """The next figures.

        Raises:
            RuntimeError: the process ended without any.
        """
        assert self.process.stdout, "it was opened with a pipe"
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
            self.said.append(line)
        raise RuntimeError(f"a contestant ended:\n{''.join(self.said)}")

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.communicate()
