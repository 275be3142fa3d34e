"""Which part of the project may import which, and that no import leads back to where it began."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.project_files import (
    ROOT,
    Import,
    all_files,
    circles,
    import_graph,
    imports_of,
    lost_imports,
    module_name,
    python_files,
)

GRAPH = import_graph()
# Files of other projects that docstrings name as sources.
ELSEWHERE = {"train_tuneavideo.py", "pipeline_tuneavideo.py", "tuneavideo/models/unet.py", "eval_knn.py"}
ELSEWHERE |= {"text_to_video_pipeline.py", "model.py", "temporal_module.py", "interpolation/sample.py"}
# Modules that know no model and no video. Every room of the library may import them; they import each other alone.
GROUND_NAMES = (
    "errors",
    "cancelling",
    "settings",
    "durations",
    "layouts",
    "paths",
    "atomic_files",
    "tensor_files",
    "lazy_names",
    "version",
    "prompts",
    "opencv",
)
GROUND = {f"tav_core.{name}" for name in GROUND_NAMES}
# Each room, from the ground up, with the rooms that it may import. The entry points of a house are named "house/".
LIBRARY = {
    "tav_core/video": set(),
    "tav_core/models": set(),
    "tav_core/models/lavie": {"tav_core/models"},
    "tav_core/checkpoints": {"tav_core/models", "tav_core/models/lavie"},
    "tav_core/denoisers": {"tav_core/models"},
    "tav_core/metrics": {"tav_core/video", "tav_core/checkpoints"},
    "tav_core/sampling": {"tav_core/models", "tav_core/models/lavie", "tav_core/denoisers"},
    "tav_core/tuning": {"tav_core/video", "tav_core/models", "tav_core/models/lavie", "tav_core/denoisers"},
}
LIBRARY["tav_core/sampling/zero_shot"] = {"tav_core/models", "tav_core/denoisers", "tav_core/sampling"}
LIBRARY["tav_core/tuning/video_layers"] = {*LIBRARY["tav_core/tuning"], "tav_core/tuning"}
LIBRARY["tav_core/evaluation"] = set(LIBRARY)
LIBRARY["tav_core/batch/manifest"] = {"tav_core/video"}
LIBRARY["tav_core/batch/executors"] = set()
LIBRARY["tav_core/batch"] = {*LIBRARY}
LIBRARY["tav_core/study"] = {"tav_core/video"}
LIBRARY["tav_core/cli/options"] = {*LIBRARY}
LIBRARY["tav_core/cli"] = {*LIBRARY}
LIBRARY["tav_core/"] = {"tav_core/cli"}
NODES = {"nodes/sockets": set(), "nodes/core": {"nodes/sockets"}}
NODES |= {f"nodes/{room}": {"nodes/sockets", "nodes/core"} for room in ("tuning", "sampling", "lavie", "video")}
NODES["nodes/batch"] = {*NODES, "nodes/batch"} - {"nodes/sampling", "nodes/lavie", "nodes/batch"}
NODES["nodes/"] = set(NODES)
DEMO = {"demo/world": set(), "demo/oracle": {"demo/world"}, "demo/trainers": {"demo/world"}}
# The second world, from its pen up.
DEMO["demo/creatures/drawing"] = set()
DEMO |= {f"demo/creatures/{room}": {"demo/creatures/drawing"} for room in ("subjects", "places")}
DEMO["demo/creatures"] = {name for name in DEMO if name.startswith("demo/creatures/")}
DEMO["demo/creatures/oracle"] = {*DEMO["demo/creatures"], "demo/creatures", "demo/oracle"}
DEMO["demo/study"] = {"demo/world", "demo/oracle", "demo/creatures", "demo/creatures/oracle"}
DEMO["demo/creatures/trainers"] = {name for name in DEMO if name != "demo/study"}
DEMO["demo/lavie"] = {"demo/world", "demo/oracle"}
DEMO["demo/lavie/trainers"] = {name for name in DEMO if name != "demo/study"}
DEMO["demo/"] = set(DEMO)
TABLE = {
    **LIBRARY,
    **{room: {*allowed, *LIBRARY} for room, allowed in (NODES | DEMO).items()},
    "benchmarks/": {*LIBRARY, *DEMO, "nodes/core"},
    "scripts/": set(),
    "/": {"nodes/"},
}


def room_of(module: str) -> str:
    """The room of a module, "tav_core/video" or one within it; for what stands outside them, the house, "demo/"."""
    if module in GROUND:
        return "ground"
    folders = FOLDERS[module]
    return "/".join(folders) if len(folders) > 1 else f"{'/'.join(folders)}/"


FOLDERS = {module_name(path): path.relative_to(ROOT).parent.parts for path in all_files()}
HOUSE = [name for name in FOLDERS if not name.startswith("tests")]


def test_the_table_has_every_room_and_every_room_has_files():
    counts = Counter(room_of(name) for name in HOUSE)
    assert counts.keys() == TABLE.keys() | {"ground"}
    assert sum(counts.values()) == len(HOUSE) >= 200
    assert (
        len(GROUND) == counts["ground"]
        and min(counts[room] for room in TABLE if room.count("/") and room[-1] != "/") > 2
    )


@pytest.mark.parametrize("room", [*TABLE, "ground"])
def test_a_room_imports_what_it_may(room):
    """Also within functions, and for type checkers alone: what a reader has to know is what counts."""
    allowed = {room, "ground"} | TABLE.get(room, set())
    assert [
        str(i) for i in GRAPH if i.source in HOUSE and room_of(i.source) == room and room_of(i.target) not in allowed
    ] == []


def test_the_table_leads_down():
    """No two rooms may import each other, directly or by way of others."""
    assert circles({(room, other) for room, allowed in TABLE.items() for other in allowed - {room}}) == []


def test_no_circle_of_imports_anywhere():
    """Imports in functions and for type checkers count as well: a reader has to follow them all."""
    found = sorted(circles({(i.source, i.target) for i in GRAPH}), key=min)
    assert not found, "\n".join(str(i) for group in found for i in GRAPH if {i.source, i.target} <= group)


def test_every_file_is_seen_and_most_are_tied_to_others():
    names = {module_name(path) for path in all_files()}
    assert len(names) == len(all_files()) >= 320
    tied = {i.source for i in GRAPH} | {i.target for i in GRAPH}
    assert len(names & tied) > 0.9 * len(names)
    assert {i.kind for i in GRAPH} == {"import", "late", "typing"}


def test_every_import_finds_what_it_names():
    """Scripts that only run inside a ComfyUI are read too."""
    assert lost_imports() == []


def test_files_that_texts_name_are_there():
    """Docstrings and comments name files by their names alone, or with their rooms."""
    there = {path.relative_to(ROOT).as_posix() for path in all_files()}
    lost = []
    for path in (path for folder in ("tav_core", "nodes", "demo", "benchmarks") for path in python_files(folder)):
        for name in re.findall(r"(?<![\w/.{-])[\w/]+\.py\b", path.read_text(encoding="utf-8")):
            if name not in ELSEWHERE and not any(f"/{each}".endswith(f"/{name}") for each in there):
                lost.append(f"{path.relative_to(ROOT)}: {name}")
    assert lost == []


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
