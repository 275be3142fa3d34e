"""What `pip install .` installs, and that the requirements can replace nobody's torch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tav_core

ROOT = Path(__file__).parent.parent


def requirements(name):
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {re.split(r"[^\w.-]", line)[0]: line for line in lines if line}


@pytest.fixture(scope="module")
def project():
    return pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_of_the_library_is_installed_and_nothing_else(project):
    find_packages = pytest.importorskip("setuptools").find_packages
    wanted = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "tav_core").rglob("*.py")}
    settings = project["tool"]["setuptools"]["packages"]["find"]
    assert not settings["namespaces"]
    assert set(find_packages(ROOT, include=settings["include"])) == wanted
    assert len(wanted) > 8


def test_the_librarys_data_is_installed(project):
    root = ROOT / "tav_core"
    data = {path for path in root.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    (patterns,) = project["tool"]["setuptools"]["package-data"].values()
    assert {path for pattern in patterns for path in root.glob(pattern) if path.is_file()} == data
    assert len(data) >= 3


def test_one_version_is_written_everywhere(project):
    assert project["project"]["version"] == tav_core.__version__


def test_torch_has_no_version_and_no_package_is_capped():
    named = requirements("requirements.txt")
    assert named["torch"] == "torch"
    assert {"diffusers", "transformers", "safetensors", "opencv-python"} < set(named)
    for name, line in named.items():
        assert re.fullmatch(rf"{name}(>=[\d.]+)?", line)


def test_packages_that_choose_a_torch_are_extras(project):
    assert project["project"]["optional-dependencies"]["xformers"] == ["xformers"]
    assert not {"xformers", "torchvision", "torchaudio"} & set(requirements("requirements.txt"))


def test_a_single_opencv_package_is_named():
    named = [name for file in ("requirements.txt", "requirements-dev.txt") for name in requirements(file)]
    assert [name for name in named if name.startswith("opencv")] == ["opencv-python"]
