"""Makes this process a ComfyUI without a server, on the CPU; imported first by what is timed inside of one.

COMFYUI_PATH names ComfyUI's folder, and the process has to be that of its Python. COMFYUI_BASE, if set, names a folder
for models and results, so that nothing is written into ComfyUI's own.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

PACK = Path(__file__).resolve().parent.parent

# In front of the pack's folder, whose `nodes` is not ComfyUI's.
sys.path.insert(0, os.environ["COMFYUI_PATH"])

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing(False)
from comfy.cli_args import args  # noqa: E402

args.cpu = True
args.base_directory = os.environ.get("COMFYUI_BASE")


def load_nodes(name: str, folder: Path) -> ModuleType:
    """A folder of nodes, imported as ComfyUI imports it."""
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec and spec.loader, "a file was named"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


pack = load_nodes("tune_a_video_pack", PACK)
