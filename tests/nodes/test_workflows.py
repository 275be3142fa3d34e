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
    "Canny",
    "CFGGuider",
    "CheckpointLoaderSimple",
    "CLIPTextEncode",
    "ControlNetApplyAdvanced",
    "ControlNetLoader",
    "CreateVideo",
    "GetVideoComponents",
    "GrowMask",
    "ImageToMask",
    "KSamplerSelect",
    "LoraLoader",
    "MaskPreview",
    "SamplerCustomAdvanced",
    "SaveVideo",
    "ThresholdMask",
    "VAEDecode",
    "VAEDecodeTiled",
    "VAEEncode",
}
TITLE = 30


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


def test_they_are_numbered_from_one():
    numbers = sorted(int(path.stem.split("_")[0]) for path in WORKFLOWS)
    assert numbers == [*range(1, len(WORKFLOWS) + 1)]


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
    boxes = [(*node["pos"], *node["size"]) for node in workflow["nodes"]]
    for (x, y, wide, high), (left, top, width, height) in combinations(boxes, 2):
        apart = x + wide <= left or left + width <= x or y + high <= top - TITLE or top + height <= y - TITLE
        assert apart, f"{x, y} and {left, top}"


def test_nodes_lie_in_their_groups(workflow):
    boxes = [group["bounding"] for group in workflow["groups"]]
    for node in workflow["nodes"]:
        (x, y), (wide, high) = node["pos"], node["size"]
        inside = [left <= x and x + wide <= left + w and top <= y and y + high <= top + h for left, top, w, h in boxes]
        assert sum(inside) == (node["type"] != NOTE)


def test_groups_do_not_overlap(workflow):
    boxes = [group["bounding"] for group in workflow["groups"]]
    for (x, y, wide, high), (left, top, width, height) in combinations(boxes, 2):
        assert x + wide <= left or left + width <= x or y + high <= top or top + height <= y, f"{x, y} and {left, top}"
