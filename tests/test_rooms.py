"""Which part of the project may import which, and that no import leads back to where it began."""

from __future__ import annotations

import pytest

from tests.project_files import Import, all_files, circles, import_graph, imports_of, lost_imports, module_name

GRAPH = import_graph()
# To be cut.
KNOWN_CIRCLES = [
    {"demo.ablation", "demo.ablation_tables"},
    {"nodes.cockpit", "nodes.core_tuning", "nodes.tune"},
    {"nodes.judges", "nodes.preview_judge"},
    {"tav_core.control", "tav_core.denoiser"},
    {"tav_core.early_stop", "tav_core.tune", "tav_core.tune_state"},
]


def test_no_circle_of_imports_anywhere():
    """Imports in functions and for type checkers count as well: a reader has to follow them all."""
    found = sorted(circles({(i.source, i.target) for i in GRAPH}), key=min)
    assert found == KNOWN_CIRCLES, "\n".join(str(i) for group in found for i in GRAPH if {i.source, i.target} <= group)


def test_every_file_is_seen_and_most_are_tied_to_others():
    names = {module_name(path) for path in all_files()}
    assert len(names) == len(all_files()) >= 320
    tied = {i.source for i in GRAPH} | {i.target for i in GRAPH}
    assert len(names & tied) > 0.9 * len(names)
    assert {i.kind for i in GRAPH} == {"import", "late", "typing"}


def test_every_import_finds_what_it_names():
    """Scripts that only run inside a ComfyUI are read too."""
    assert lost_imports() == []


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({("a", "b"), ("b", "c")}, []),
        ({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")}, [{"a", "b", "c"}]),
        ({("a", "a")}, [{"a"}]),
        ({("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("b", "c")}, [{"a", "b"}, {"c", "d"}]),
    ],
)
def test_circles_are_found(edges, expected):
    assert sorted(circles(edges), key=min) == expected


def test_imports_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.project_files.ROOT", tmp_path)
    path = tmp_path / "house" / "room" / "desk.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import torch\nfrom ..hall import lamp, door\nfrom . import chair\nfrom house.room.desk import me\n"
        "if TYPE_CHECKING:\n    from ..hall.door import Knob\ndef sit():\n    import house.room.chair\n"
    )
    known = {"house", "house.hall", "house.hall.door", "house.room.chair", "house.room.desk"}
    found = [(i.target, i.kind) for i in imports_of(module_name(path), path, known)]
    assert found == [
        ("house.hall", "import"),
        ("house.hall.door", "import"),
        ("house.room.chair", "import"),
        ("house.hall.door", "typing"),
        ("house.room.chair", "late"),
    ]
    assert str(Import("a", "b", "late", 3)) == "a:3 imports b (late)"
