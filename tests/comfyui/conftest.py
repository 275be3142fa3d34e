"""Finds ComfyUI, and starts it. Without one, or without websockets, every test in this folder is skipped, and says so.

COMFYUI_PATH names the folder of a ComfyUI, or several with os.pathsep between; COMFYUI_PYTHON as many interpreters that
they are installed for. Without the first, comfy-cli's ~/comfy/ComfyUI is tried; without the second, the environment in
the ComfyUI folder, then this interpreter.

With COMFYUI_GPU=1, the servers compute on the graphics card. With COMFYUI_DYNAMIC_VRAM=1, all of them run as on an
NVIDIA card, see dynamic_vram.py; without it,
test_dynamic_vram.py does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

# Fixtures.
from tests.chromium import browser  # noqa: F401
from tests.comfyui.dynamic_vram import can_emulate
from tests.comfyui.page import open_page, page  # noqa: F401
from tests.comfyui.server import Server, version_of

HERE = Path(__file__).parent
DEFAULT = Path.home() / "comfy" / "ComfyUI"
ENVIRONMENTS = (".venv/bin/python", "venv/bin/python", ".venv/Scripts/python.exe", "venv/Scripts/python.exe")
NO_COMFYUI = (
    "NO COMFYUI FOUND, so nothing of the pack was tried in one. Set COMFYUI_PATH to ComfyUI's folder and "
    "COMFYUI_PYTHON to the interpreter that it is installed for (several of each with "
    f"{os.pathsep!r} between), or install it to {DEFAULT}."
)
NO_WEBSOCKETS = (
    "NO PACKAGE websockets, so nothing of the pack was tried in the ComfyUI that is there. Run: "
    f'"{sys.executable}" -m pip install -r tests/comfyui/requirements.txt'
)


class Installation(NamedTuple):
    """A ComfyUI and the interpreter that it is installed for."""

    path: Path
    python: Path


def find_installations() -> list[Installation]:
    """Every ComfyUI that the tests are to use.

    Raises:
        UsageError: what the variables name is not there.
    """
    named = [Path(entry) for entry in os.environ.get("COMFYUI_PATH", "").split(os.pathsep) if entry]
    folders = named or ([DEFAULT] if (DEFAULT / "main.py").exists() else [])
    pythons = [Path(entry) for entry in os.environ.get("COMFYUI_PYTHON", "").split(os.pathsep) if entry]
    pythons = pythons or [own_python(folder) for folder in folders]
    if folders and len(folders) != len(pythons):
        raise pytest.UsageError(f"COMFYUI_PATH: {len(folders)} folders, COMFYUI_PYTHON: {len(pythons)} interpreters")
    needed = [folder / "main.py" for folder in folders] + (pythons if folders else [])
    if gone := [str(path) for path in needed if not path.exists()]:
        raise pytest.UsageError(f"COMFYUI_PATH, COMFYUI_PYTHON: not found: {', '.join(gone)}")
    return [Installation(*pair) for pair in zip(folders, pythons, strict=False)]


def own_python(folder: Path) -> Path:
    """The interpreter in a ComfyUI folder; this one if there is none."""
    inside = [folder / path for path in ENVIRONMENTS]
    return next((path for path in inside if path.exists()), Path(sys.executable))


INSTALLATIONS = find_installations()
DYNAMIC_VRAM = bool(os.environ.get("COMFYUI_DYNAMIC_VRAM"))
# Before the figures that a script prints.
MARK = "RESULTS "


def missing() -> str:
    """Why nothing can be tried in a ComfyUI, and what to do; "" if all is there."""
    if not INSTALLATIONS:
        return NO_COMFYUI
    return "" if importlib.util.find_spec("websockets") else NO_WEBSOCKETS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs ComfyUI where something is missing for it, and says what to do."""
    if reason := missing():
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


def name_of(installation: Installation | None) -> str:
    """What tests are called after."""
    return version_of(installation.path) if installation else "no ComfyUI"


@pytest.fixture(scope="session", params=INSTALLATIONS or [None], ids=name_of)
def comfyui(request: pytest.FixtureRequest) -> Installation:
    """Each ComfyUI in turn."""
    return request.param


@pytest.fixture(scope="session")
def run_checks(comfyui: Installation) -> Callable[[str], dict[str, Any]]:
    """Runs one of the scripts in this folder that measure inside a ComfyUI process; gives its figures."""

    def run(script: str) -> dict[str, Any]:
        environment = {
            **os.environ,
            "COMFYUI_PATH": str(comfyui.path),
            "HF_HUB_OFFLINE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [comfyui.python, HERE / script]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500)
        found = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
        assert found, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return json.loads(found[0].removeprefix(MARK))

    return run


@pytest.fixture(scope="session")
def server(comfyui: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with the pack in it, in a folder of its own; its log is in `server.log` there."""
    dynamic = DYNAMIC_VRAM and can_emulate(comfyui.path)
    started = Server(*comfyui, tmp_path_factory.mktemp(f"comfyui_{name_of(comfyui)}"), dynamic_vram=dynamic)
    try:
        yield started.wait_ready()
    finally:
        started.stop()


@pytest.fixture(scope="session")
def definitions(server: Server) -> dict[str, Any]:
    """What the server says of its nodes."""
    return server.get("/object_info")
