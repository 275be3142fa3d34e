"""tav_core/lazy_names.py: names that are imported when they are used."""

from __future__ import annotations

import sys

import pytest

from tav_core.lazy_names import names_on_use


def test_a_module_is_imported_when_a_name_of_it_is_used(tmp_path, monkeypatch):
    package = tmp_path / "package_of_names"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "light.py").write_text("ON, OFF = 1, 0")
    (package / "heavy.py").write_text("WEIGHT = 5")
    monkeypatch.syspath_prepend(tmp_path)
    get_name, names = names_on_use("package_of_names", {"light": ("ON", "OFF"), "heavy": ("WEIGHT",)})
    assert names == ["ON", "OFF", "WEIGHT"]
    assert (get_name("ON"), get_name("OFF")) == (1, 0)
    assert "package_of_names.light" in sys.modules and "package_of_names.heavy" not in sys.modules
    with pytest.raises(AttributeError, match="'package_of_names' has no attribute 'light_switch'"):
        get_name("light_switch")
