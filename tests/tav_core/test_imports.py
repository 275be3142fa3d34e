"""What may import what: the library knows nothing of ComfyUI, and costs nothing until it is used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tav_core
from tests.project_files import module_name, python_files

CORE = Path(tav_core.__file__).parent
MODULES = python_files("tav_core")
STAGES = {"tune", "invert", "edit", "video"}
# Each name may import the ones before it.
LAYERS = ["errors", "layouts", "attention_modes", "attention", "unet", "denoiser", "checkpoints", "weights"]


def imports(path):
    """Absolute modules and relative ones that a file imports anywhere in it."""
    absolute, relative = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            absolute |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            relative |= {node.module} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            absolute.add(node.module.split(".")[0])
    return absolute, relative


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_the_library_knows_nothing_of_its_hosts(path):
    absolute, _ = imports(path)
    assert not absolute & {"comfy", "comfy_api", "comfy_extras", "folder_paths", "server", "nodes", "tav_core", "demo"}


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_stages_do_not_import_each_other(stage):
    _, relative = imports(CORE / f"{stage}.py")
    # What passes between stages is a value: edit starts from invert's Trajectory.
    allowed = {"invert"} if stage == "edit" else set()
    assert not (relative & STAGES) - allowed


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_one_way(layer):
    later = set(LAYERS[LAYERS.index(layer) + 1 :]) | (set() if layer in STAGES else STAGES)
    assert not imports(CORE / f"{layer}.py")[1] & later


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"torch", "diffusers", "transformers", "numpy", "av", "PIL", "cv2", "xformers", "einops"}
    code = f"import sys, tav_core; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CORE.parent)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_a_stage_is_its_function():
    for name in tav_core.__all__:
        assert getattr(tav_core, name) is not None
    for stage in ("tune", "invert", "edit", "reconstruct"):
        importlib.import_module(f"tav_core.{stage}")
    assert all(callable(getattr(tav_core, stage)) for stage in ("tune", "invert", "edit", "reconstruct"))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        tav_core.nothing_of_the_kind  # noqa: B018


def test_the_command_line_is_parsed_without_torch():
    code = "import sys; from tav_core.cli.main import build_parser; build_parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CORE.parent)
    assert done.stdout.strip() == "False"
