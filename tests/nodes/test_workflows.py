"""The example workflows as files: what can be said of them without ComfyUI."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from tests.project_files import python_files

PACK = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((PACK / "workflows").glob("*.json"))
NOTE = "MarkdownNote"
CORE = {
    NOTE,
    "BasicScheduler",
    "Canny",
    "CFGGuider",
    "CheckpointLoaderSimple",
    "CLIPTextEncode",
    "ControlNetApplyAdvanced",
    "ControlNetLoader",
    "CreateVideo",
    "DualCFGGuider",
    "EmptyLatentImage",
    "GetVideoComponents",
    "GrowMask",
    "InstructPixToPixConditioning",
    "KSampler",
    "KSamplerSelect",
    "LoraLoader",
    "MaskPreview",
    "RandomNoise",
    "SamplerCustom",
    "SamplerCustomAdvanced",
    "SaveVideo",
    "VAEDecode",
    "VAEDecodeTiled",
    "VAEEncode",
}
APPS = [path for path in WORKFLOWS if path.suffixes[0] == ".app"]
BLUEPRINT = PACK / "subgraphs" / "Video Edit (Tune-A-Video).json"
TITLE = 30
# The page fits a template into three quarters of the canvas, and draws no text at a zoom below the first of these.
NO_TEXT, FILLED, EDGE = 8 / 14, 0.75, 10
SCREENS = {(1920, 945): 0.62, (1440, 800): NO_TEXT}
# A title of its own is shown in English to everybody. Several prompts or checkpoints would look alike without one.
TITLED = {"CLIPTextEncode", "CheckpointLoaderSimple"}


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def workflow(path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def our_nodes() -> set[str]:
    """The ids in the sources of the nodes."""
    sources = "".join(file.read_text(encoding="utf-8") for file in python_files("nodes"))
    return set(re.findall(r'node_id="(\w+)"', sources))


def size_of(node) -> tuple[int, int]:
    """What is seen of a node below its title."""
    width, height = node["size"]
    return (width, 0 if node["flags"].get("collapsed") else height)


def test_they_are_numbered_from_one_in_the_order_of_their_names():
    assert [int(path.stem.split("_")[0]) for path in WORKFLOWS] == [*range(1, len(WORKFLOWS) + 1)]
    assert WORKFLOWS[0].stem == "01_quickstart"


@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_fits_the_screen_at_a_zoom_that_shows_text(workflow, screen):
    """As the page does it; Nodes 2.0 counts a folded node as if it were not folded."""
    lefts, tops = zip(*(node["pos"] for node in workflow["nodes"]), strict=True)
    rights, bottoms = zip(*(map(sum, zip(n["pos"], n["size"], strict=True)) for n in workflow["nodes"]), strict=True)
    extent = max(rights) - min(lefts), max(bottoms) - min(tops) + TITLE
    zoom = min(FILLED * side / (size + 2 * EDGE) for side, size in zip(screen, extent, strict=True))
    assert zoom >= SCREENS[screen], zoom


def test_titles_are_those_of_the_nodes_so_that_the_page_translates_them(workflow):
    titled = {node["type"] for node in workflow["nodes"] if "title" in node}
    assert titled <= TITLED


def test_has_a_thumbnail(path):
    with Image.open(path.with_suffix(".jpg")) as picture:
        assert picture.format == "JPEG" and 300 <= picture.width <= 500 and 200 <= picture.height <= 400


def test_is_what_the_page_saves(workflow):
    assert workflow["nodes"] and workflow["links"] and workflow["groups"] and workflow["version"] == 0.4
    for node in workflow["nodes"]:
        assert node.keys() >= {"id", "type", "pos", "size", "inputs", "outputs", "widgets_values"}


def test_names_only_nodes_of_core_and_ours(workflow):
    kinds = {node["type"] for node in workflow["nodes"]}
    assert kinds - CORE <= our_nodes()
    assert {kind for kind in kinds if kind.startswith("TAV")} <= our_nodes()


def test_has_a_note_that_people_read(workflow):
    (note,) = [node for node in workflow["nodes"] if node["type"] == NOTE]
    assert 3 <= len([line for line in note["widgets_values"][0].splitlines() if line]) <= 8


def test_nodes_do_not_overlap(workflow):
    boxes = [(*node["pos"], *size_of(node)) for node in workflow["nodes"]]
    for (x, y, wide, high), (left, top, width, height) in combinations(boxes, 2):
        apart = x + wide <= left or left + width <= x or y + high <= top - TITLE or top + height <= y - TITLE
        assert apart, f"{x, y} and {left, top}"


def test_nodes_lie_in_their_groups(workflow):
    boxes = [group["bounding"] for group in workflow["groups"]]
    for node in workflow["nodes"]:
        (x, y), (wide, high) = node["pos"], size_of(node)
        inside = [left <= x and x + wide <= left + w and top <= y and y + high <= top + h for left, top, w, h in boxes]
        assert sum(inside) == (node["type"] != NOTE)


def test_groups_do_not_overlap(workflow):
    boxes = [group["bounding"] for group in workflow["groups"]]
    for (x, y, wide, high), (left, top, width, height) in combinations(boxes, 2):
        assert x + wide <= left or left + width <= x or y + high <= top or top + height <= y, f"{x, y} and {left, top}"


@pytest.mark.parametrize("path", APPS, ids=lambda path: path.stem)
def test_an_app_shows_widgets_and_results_that_are_there(path):
    extra, nodes = (json.loads(path.read_text(encoding="utf-8"))[key] for key in ("extra", "nodes"))
    kinds = {str(node["id"]): node["type"] for node in nodes}
    assert extra["linearMode"] is True
    ((shown, name),) = extra["linearData"]["inputs"]
    assert (kinds[shown], name) == ("CLIPTextEncode", "text")
    sockets = next(node["inputs"] for node in nodes if str(node["id"]) == shown)
    assert [socket["label"] for socket in sockets if socket["name"] == name] == ["edited prompt"]
    assert [kinds[node] for node in extra["linearData"]["outputs"]] == ["SaveVideo"]


def test_there_is_one_app():
    assert [path.stem for path in APPS] == ["12_trial.app"]


def test_the_links_of_the_blueprint_end_at_its_sockets():
    saved = json.loads(BLUEPRINT.read_text(encoding="utf-8"))
    (outer,), (inner,) = saved["nodes"], saved["definitions"]["subgraphs"]
    assert outer["type"] == inner["id"] and outer["title"] == inner["name"] == BLUEPRINT.stem
    assert [socket["name"] for socket in outer["inputs"]] == [socket["name"] for socket in inner["inputs"]]
    assert {node["type"] for node in inner["nodes"]} - CORE <= our_nodes()
    nodes = {node["id"]: node for node in inner["nodes"]}
    ends = {-10: {"outputs": inner["inputs"]}, -20: {"inputs": inner["outputs"]}}
    for link in inner["links"]:
        source, target = ({**nodes, **ends}[link[end]] for end in ("origin_id", "target_id"))
        assert source["outputs"][link["origin_slot"]]["type"] == link["type"]
        assert target["inputs"][link["target_slot"]]["type"] == link["type"]
    assert {node["id"] for node in saved["nodes"]}.isdisjoint(nodes)
