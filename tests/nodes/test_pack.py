"""The pack's root: ComfyUI finds what it asks for, and importing it costs nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from tests.project_files import ROOT, import_graph, imported_packages, module_name, python_files


def test_importing_the_root_loads_nothing_else():
    code = (
        "import importlib.util as u, sys; before = set(sys.modules);"
        f"s = u.spec_from_file_location('pack', {str(ROOT / '__init__.py')!r},"
        f" submodule_search_locations=[{str(ROOT)!r}]); m = u.module_from_spec(s); sys.modules['pack'] = m;"
        "s.loader.exec_module(m); print(sorted(n for n in set(sys.modules) - before if 'torch' in n or 'pack.' in n));"
        "print(m.WEB_DIRECTORY, hasattr(m, 'comfy_entrypoint'), hasattr(m, 'NODE_CLASS_MAPPINGS'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.splitlines() == ["[]", "./web True False"]


@pytest.mark.parametrize("there", [True, False])
def test_a_missing_diffusers_is_told_with_the_command_that_installs_it(caplog, monkeypatch, there):
    spec = spec_from_file_location("pack_root", ROOT / "__init__.py")
    pack = module_from_spec(spec)
    spec.loader.exec_module(pack)
    monkeypatch.setattr(pack, "find_spec", lambda name: object() if there else None)
    pack.warn_of_missing()
    told = f'"{sys.executable}" -m pip install -r "{ROOT / "requirements.txt"}"'
    assert (told in caplog.text) != there


def test_node_ids_are_prefixed_and_never_twice():
    ids = [i for path in python_files("nodes") for i in re.findall(r'node_id="(\w+)"', path.read_text())]
    assert len(ids) == len(set(ids)) >= 11
    assert all(i.startswith("TAV") for i in ids)


def test_every_node_hears_a_cancel():
    bodies = [path.read_text() for path in python_files("nodes")]
    heard = sum(len(re.findall(r"@classmethod\n    @interruptible\n    def execute\(", body)) for body in bodies)
    assert heard == sum(body.count("def execute(") for body in bodies) >= 21


def test_nothing_heavy_at_import():
    """What a node needs to compute is imported when it runs; ComfyUI's start waits for none of it."""
    # ComfyUI itself has loaded torch, numpy, Pillow and PyAV by then.
    heavy = {"diffusers", "transformers", "matplotlib", "cv2", "xformers", "safetensors"}
    files = {module_name(path): path for folder in ("nodes", "tav_core") for path in python_files(folder)}
    reached = reached_at_import("nodes")
    assert len(reached) >= 40 and {"nodes.tuning.tune", "nodes.sockets.widgets", "tav_core.tuning.config"} <= reached
    assert not reached & {"nodes.core.tuning", "tav_core.tuning.tune", "tav_core.sampling.edit"}
    assert {
        name: found for name in reached if (found := imported_packages(files[name], frozenset({"import"})) & heavy)
    } == {}


def reached_at_import(start):
    """The modules that are run when one is imported: those that it imports at its top, and so on."""
    tops, found, left = [i for i in import_graph() if i.kind == "import"], set(), {start}
    while left:
        found |= left
        left = {i.target for i in tops if i.source in left} - found
    return found


DECOYS = ("nodes", "tav_core", "video", "models", "sampling", "tuning", "core", "utils", "demo", "cli", "metrics")


def test_it_works_beside_packs_with_modules_of_the_same_names(tmp_path):
    """ComfyUI's own `nodes`, and other packs' `models` or `utils`, are in sys.modules; folders have any name.

    Seen in ComfyUI_UltimateSDUpscale #69 and ComfyUI-Impact-Pack #458: another pack's modules were imported instead.
    """
    folder = tmp_path / "Tune A Video-1.0 (copy)"
    folder.symlink_to(ROOT, target_is_directory=True)
    modules = [module_name(path) for path in python_files("tav_core") if path.name != "__main__.py"]
    code = (
        "import importlib, importlib.util as u, sys, types; sys.path.pop(0)\n"
        f"for name in {DECOYS}: sys.modules[name] = types.ModuleType(name)\n"
        f"s = u.spec_from_file_location({str(folder)!r}.replace('.', '_x_'), {str(folder / '__init__.py')!r},"
        f" submodule_search_locations=[{str(folder)!r}])\n"
        "m = u.module_from_spec(s); sys.modules[s.name] = m; s.loader.exec_module(m)\n"
        f"found = [importlib.import_module(f'{{s.name}}.{{name}}') for name in {modules}]\n"
        "print(len(found), all(len(vars(sys.modules[name])) < 8 for name in ('nodes', 'tav_core', 'models')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == [str(len(modules)), "True"], done.stderr[-2000:]


def test_the_library_does_not_know_the_nodes():
    for path in python_files("tav_core"):
        assert "comfy" not in re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.M), path
