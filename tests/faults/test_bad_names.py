"""Names that users give to runs, motions and reports: none leads out of the folders that ComfyUI gives."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.checks import contents
from tests.faults.pack import nodes_without_comfyui

BAD = [
    "", " ", "\t\n", ".", "..", "...", ".hidden", "/", "\\", "/etc/passwd", "../evil", "..\\evil", "a/b", "a\\b",
    "a/../../b", "C:\\evil", "C:evil", "\\\\server\\share\\x", "//server/x", "~/x/y", "file:///x", "a\0b", "a\nb",
    "a\x1b[2Jb", "\x7f", "a\ud800b", "\udcff", "a<b", "a>b", 'a"b', "a|b", "a?b", "a*b", "a:b", "a:stream",
    "CON", "con", "Con.txt", "con .txt", "NUL", "aux.safetensors", "PRN.", "COM1", "com9.x", "LPT1", "COM¹", "lpt³.x",
    "CONIN$", "conout$.txt", " nul ", "x" * 101, "x" * 300, "é" * 51, "片" * 34, "🎬" * 26, ".safetensors",
    " .safetensors", "../x.safetensors", "%2e%2e/x", "a\u2028/b",
]  # fmt: skip
GOOD = [
    "my motion",
    "片段",
    "é",
    "🎬",
    "a.b.c",
    "con1",
    "console",
    "com10",
    "-rf",
    "100%",
    "$HOME",
    "a'b",
    "~",
    "x" * 100,
]
WINDOWS_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789¹²³"
}

NAMED = ("sockets.folders", "sockets.judges", "tuning.motion_files", "tuning.tune", "video.report")


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    base = tmp_path_factory.mktemp("comfyui")
    with nodes_without_comfyui(base, *NAMED) as nodes:
        nodes.base = base
        # The nodes' own errors: the pack is loaded under another name here.
        nodes.ConfigError, nodes.MotionError = nodes.folders.ConfigError, nodes.motion_files.MotionError
        yield nodes


def places(pack):
    return {
        pack.folders.run_path: pack.base / "output" / "tav_runs",
        pack.folders.motion_path: pack.base / "models" / "tav_motion",
        pack.report.report_path: pack.base / "output" / "tav_reports",
    }


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_bad_name_is_refused(pack, name):
    before = contents(pack.base)
    for place in places(pack):
        with pytest.raises(pack.ConfigError) as caught:
            place(name)
        told = str(caught.value)
        assert "the name" in told and "without folders" in told and told.endswith("Use letters, digits, - and _.")
        assert told.isprintable(), "a message must not repeat control characters"
    assert contents(pack.base) == before


@pytest.mark.parametrize("name", GOOD, ids=ascii)
def test_a_good_name_is_taken_as_it_is(pack, name):
    for place, folder in places(pack).items():
        assert place(name).parent == folder and place(name).stem == name


@settings(max_examples=400, deadline=None, derandomize=True)
@given(name=st.text(max_size=130) | st.text(alphabet="./\\:~conCON¹1 $%\0\x1b\u202e", max_size=12))
def test_no_name_leads_out_of_its_folder(pack, name):
    for place, folder in places(pack).items():
        try:
            path = place(name)
        except pack.ConfigError:
            continue
        assert path.parent == folder == path.resolve().parent
        as_windows = PureWindowsPath(path.name)
        assert (as_windows.name, as_windows.drive, as_windows.root) == (path.name, "", "")
        assert path.name.split(".")[0].strip().upper() not in WINDOWS_DEVICES
        assert len(path.name.encode()) <= 112


SOURCES = ["", "diffusers", "diffusers/", "diffusers/..", "diffusers/.", "diffusers/../diffusers/x", "../x/y",
           "/etc/passwd", "output/x", "diffusers/a/b", "diffusers\\x", "diffusers/x\0", "tav_motion/../../x",
           "gone/x"]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES, ids=ascii)
def test_a_source_that_was_not_offered_is_refused(pack, source):
    (pack.base / "models" / "x").mkdir(exist_ok=True)
    with pytest.raises(pack.MotionError, match=r"source .*models/diffusers"):
        pack.motion_files.find_source(source)


def test_a_source_that_was_offered_is_found(pack):
    folder = pack.base / "models" / "diffusers" / "original"
    folder.mkdir(exist_ok=True)
    assert "diffusers/original" in pack.motion_files.list_sources()
    assert pack.motion_files.find_source("diffusers/original") == folder


@pytest.mark.parametrize("choice", ["", "clip_vision", "clip_vision/..", "diffusers/../x", "/etc/passwd", "x/y"])
def test_weights_that_were_not_offered_are_refused(pack, choice):
    with pytest.raises(pack.ConfigError, match="the weights"):
        pack.judges.find_weights(choice)


def test_a_config_of_a_stranger_does_not_stop_the_list(pack):
    folder = pack.base / "models" / "diffusers" / "deep"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("[" * 200_000)
    assert pack.judges.list_clips() == ["none"]


def test_a_motion_that_vanishes_after_the_check_is_named(pack):
    assert pack.motion_files.LoadMotion.validate_inputs("gone.safetensors") is not True
    with pytest.raises(pack.MotionError, match=r"gone\.safetensors.*gone since"):
        pack.motion_files.LoadMotion.execute("gone.safetensors")


def test_a_name_that_is_taken_is_kept(pack):
    path = pack.folders.motion_path("taken")
    path.write_bytes(b"somebody's night of tuning")
    with pytest.raises(pack.ConfigError, match="there is already a motion of this name"):
        pack.motion_files.SaveMotion.execute(None, "taken", "fp16", False)
    for resume in ("continue", "new"):
        with pytest.raises(pack.ConfigError, match="there is already a motion of this name"):
            pack.tune.check_run("taken", resume)
    assert Path(path).read_bytes() == b"somebody's night of tuning"


GRAPHS = [None, {}, {"1": {}}, {"1": None}, {"1": {"inputs": None}}, {"1": {"inputs": {"positive": []}}},
          {"1": {"inputs": {"positive": ["9", 0]}}}, {"1": {"inputs": {"positive": [["2"], 0]}}},
          {"1": {"inputs": {"positive": ["2", 0]}}, "2": "text"}, {"1": {"inputs": {"positive": "text"}}},
          {"1": {"inputs": {"positive": ["2", 0]}}, "2": {"inputs": {"text": ["3", 0]}}},
          {"1": {"inputs": {"positive": ["1", 0]}}}, [1], "graph"]  # fmt: skip


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
@pytest.mark.parametrize("node", ["1", "x", None])
def test_a_graph_with_missing_links_has_no_prompt(pack, graph, node):
    assert pack.tune.find_prompt(graph, node) == ""


def test_the_prompt_of_a_graph(pack):
    graph = {
        "1": {"inputs": {"positive": ["2", 0]}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a {cat} <b>"}},
    }
    assert pack.tune.find_prompt(graph, "1") == "a {cat} <b>"
