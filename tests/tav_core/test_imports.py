"""What importing the library costs and offers; which room may import which is tests/test_rooms.py's."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tav_core
from tests.project_files import ROOT, imported_packages, module_name, python_files

HOSTS = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "server", "nodes", "tav_core", "demo"}


@pytest.mark.parametrize("path", python_files("tav_core"), ids=module_name)
def test_the_library_knows_nothing_of_its_hosts(path):
    """Not even its own name: inside ComfyUI it has another."""
    assert not imported_packages(path) & HOSTS


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"torch", "diffusers", "transformers", "numpy", "av", "PIL", "cv2", "xformers", "einops"}
    assert run(f"import sys, tav_core; print(sorted({heavy!r} & set(sys.modules)))").strip() == "[]"


def test_every_public_name_is_there_and_a_stage_is_its_function():
    for name in tav_core.__all__:
        assert getattr(tav_core, name) is not None
    assert dir(tav_core) == sorted(tav_core.__all__)
    for stage in ("tune", "invert", "edit", "reconstruct"):
        assert callable(getattr(tav_core, stage))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        tav_core.nothing_of_the_kind  # noqa: B018


def test_no_room_bears_a_public_name():
    """Else the import system would put the room where the name should be, as soon as anything imports it."""
    rooms = {module_name(path).split(".")[1] for path in python_files("tav_core") if path.parent.name != "tav_core"}
    assert len(rooms) >= 9 and not rooms & set(tav_core.__all__)


def test_the_command_line_is_parsed_without_torch():
    code = "import sys; from tav_core.cli.options.commands import build_parser; build_parser(); "
    code += "print('torch' in sys.modules)"
    assert run(code).strip() == "False"
