"""The nodes' own modules without ComfyUI: stand-ins for what they import of it, with folders of the test's."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

ROOT = Path(__file__).parents[2]
NAME = "pack_under_test"


def fake_folder_paths(base: Path) -> types.ModuleType:
    """ComfyUI's folder_paths, as far as the nodes use it."""
    module = types.ModuleType("folder_paths")
    module.models_dir = str(base / "models")
    module.folder_names_and_paths = {"tav_motion": ([str(base / "models" / "tav_motion")], {".safetensors"})}
    for kind in ("diffusers", "diffusion_models", "clip_vision"):
        module.folder_names_and_paths[kind] = ([str(base / "models" / kind)], set())
    module.get_folder_paths = lambda kind: module.folder_names_and_paths[kind][0]
    module.get_output_directory = lambda: str(base / "output")
    module.get_input_directory = lambda: str(base / "input")
    module.get_filename_list = lambda kind: sorted(p.name for p in Path(module.get_folder_paths(kind)[0]).iterdir())
    module.get_full_path = lambda kind, name: next(
        (str(p) for p in Path(module.get_folder_paths(kind)[0]).iterdir() if p.name == name), None
    )
    for folder in ("models/tav_motion", "models/diffusers", "models/diffusion_models", "models/clip_vision"):
        (base / folder).mkdir(parents=True)
    for folder in ("input", "output"):
        (base / folder).mkdir()
    return module


@contextmanager
def nodes_without_comfyui(base: Path, *names: str) -> Iterator[SimpleNamespace]:
    """Some modules of `nodes/`, each by its room and name, "sockets.folders"; they come by their last names."""
    io = MagicMock()
    io.ComfyNode = type("ComfyNode", (), {})
    comfy = types.ModuleType("comfy")
    comfy.model_management = MagicMock()
    latest = types.ModuleType("comfy_api.latest")
    latest.io, latest.ui = io, MagicMock()
    packages = {}
    for name, folder in ((NAME, ROOT), (f"{NAME}.nodes", ROOT / "nodes")):
        packages[name] = types.ModuleType(name)
        packages[name].__path__ = [str(folder)]
    stand_ins = {
        "folder_paths": fake_folder_paths(base),
        "comfy": comfy,
        "comfy.model_management": comfy.model_management,
        "comfy_api": types.ModuleType("comfy_api"),
        "comfy_api.latest": latest,
        **packages,
    }
    before = dict(sys.modules)
    sys.modules.update(stand_ins)
    try:
        yield SimpleNamespace(
            **{name.split(".")[-1]: importlib.import_module(f"{NAME}.nodes.{name}") for name in names}
        )
    finally:
        for name in [n for n in sys.modules if n.startswith(NAME) or n in stand_ins]:
            del sys.modules[name]
        sys.modules.update({name: module for name, module in before.items() if name in stand_ins})
