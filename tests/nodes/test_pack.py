"""The pack's root: ComfyUI finds what it asks for, and importing it costs nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from tests.project_files import ROOT, module_name, python_files


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


@pytest.mark.parametrize("path", python_files("nodes"), ids=module_name)
def test_nothing_heavy_at_import(path):
    """What a node needs to compute is imported when it runs; ComfyUI's start waits for none of it."""
    heavy = {"diffusers", "transformers", "av", "matplotlib", "cv2", "tune", "single_file", "checkpoints", "edit"}
    reached = {"core_tuning"}
    tops = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {part for n in tops for part in imported(n)}
    assert path.stem in reached or not names & heavy


def imported(node):
    """The packages, or the library's modules, that an import statement names."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    package, _, module = (node.module or "").partition(".")
    return {module if package == "tav_core" else "" if node.level else package}


def test_the_library_does_not_know_the_nodes():
    for path in python_files("tav_core"):
        assert "comfy" not in re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.M), path
