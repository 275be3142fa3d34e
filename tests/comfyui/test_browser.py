"""The templates in a real browser: listed, opened, and the quickstart dropped on the canvas, run, watched."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from tests.comfyui.overlaps import overlaps
from tests.comfyui.page import OURS, QUICKSTART, drop, press_run, shoot
from tests.comfyui.server import PACK
from tests.comfyui.test_workflows import demo_controlnet

# What opens as a form has no zoom.
TEMPLATES = sorted(path for path in (PACK / "workflows").glob("*.json") if path.suffixes[0] != ".app")
UNTUNED = [path for path in TEMPLATES if path.stem.partition("_")[0] in ("13", "14", "15")]
CANNY = "control_v11p_sd15_canny_fp16.safetensors"
RUN_SECONDS = 600
# Below this zoom the classic page draws no text.
NO_TEXT = 8 / 14
SCREENS = {(1920, 945): 0.62, (1440, 800): NO_TEXT}
VIEWS = [
    pytest.param(is_new, size, id=f"{'nodes 2.0' if is_new else 'classic'} {size[0]}x{size[1]}")
    for is_new in (False, True)
    for size in SCREENS
]
# As a click on a template does it.
OPEN = """async ([text, name]) => {
    await app.loadGraphData(JSON.parse(text), true, true, name, { openSource: 'template' });
}"""


def test_templates_are_listed_and_open_by_a_click(page, server):
    listed = server.get("/workflow_templates")
    names = next(names for pack, names in listed.items() if pack == "tune_a_video")
    assert sorted(names) == sorted(path.stem for path in (PACK / "workflows").glob("*.json"))
    page.evaluate("app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.wait_for_timeout(3000)
    # As the README says: Extensions, the pack's folder name. Where ComfyUI's own templates are missing, all are shown.
    if not page.get_by_text(QUICKSTART.stem, exact=True).count():
        page.get_by_text("tune_a_video", exact=True).first.click()
        page.wait_for_timeout(3000)
    shoot(page, server, "templates")
    page.get_by_text(QUICKSTART.stem, exact=True).first.click()
    page.wait_for_function(OURS, timeout=30_000)
    assert not page.errors


def test_help_and_translations_are_served(page, server):
    said = server.get("/i18n")
    for language in ("en", "ko", "zh", "ja"):
        assert "TAVOneShotTune" in said[language]["nodeDefs"]
    answer = page.request.get(f"{server.url}/extensions/tune_a_video/docs/TAVOneShotTune.md")
    assert answer.ok and "One-Shot Tune" in answer.text()


def open_template(page, text: str, name: str) -> float:
    """Opens a workflow as a template; the zoom at which the page then shows it."""
    page.evaluate(OPEN, [text, name])
    page.wait_for_timeout(1500)
    # Front ends of 0.8 cover the graph with a list of the models that are to be downloaded.
    page.keyboard.press("Escape")
    page.wait_for_timeout(800)
    return page.evaluate("app.canvas.ds.scale")


@pytest.mark.parametrize(("is_new", "size"), VIEWS)
def test_every_template_fits_and_no_node_covers_another(open_page, server, is_new, size):
    page, zooms, covered = open_page(size, is_new=is_new), {}, {}
    for path in TEMPLATES:
        zooms[path.stem] = open_template(page, path.read_text(encoding="utf-8"), path.stem)
        missing = page.evaluate("app.graph._nodes.map(n => n.type).filter(t => !LiteGraph.registered_node_types[t])")
        assert not missing
        covered[path.stem] = overlaps(page)
        shoot(page, server, f"{path.stem}_{'new' if is_new else 'classic'}_{size[0]}")
    assert {name: zoom for name, zoom in zooms.items() if zoom < SCREENS[size]} == {}
    assert {name: pairs for name, pairs in covered.items() if pairs} == {}
    assert not page.errors


def test_quickstart_by_drag_and_drop_and_run(page, server):
    drop(page, QUICKSTART)
    assert run_once(page, server), "no progress was shown while it ran"
    page.keyboard.press(".")
    page.wait_for_timeout(3000)
    shoot(page, server, "quickstart_done")
    videos = [file for kind in ("mp4", "webm", "webp") for file in (server.base / "output").rglob(f"*.{kind}")]
    assert videos, "the quickstart leaves a video"
    assert page.evaluate("document.querySelectorAll('video').length") or "video" in page.content()
    assert not page.errors


@pytest.mark.parametrize(("is_new", "size"), VIEWS)
def test_no_node_covers_another_after_a_run(open_page, server, is_new, size):
    """With previews, the chart and the video in their nodes. Each view runs another step, so that nothing is cached."""
    page, workflow = open_page(size, is_new=is_new), json.loads(QUICKSTART.read_text(encoding="utf-8"))
    steps = 2 + VIEWS_RUN.setdefault((is_new, size), len(VIEWS_RUN))
    set_widget(workflow, "TAVOneShotTune", 0, steps)
    for kind in ("TAVDDIMInvert", "TAVSampleEdit"):
        set_widget(workflow, kind, 0, steps)
    open_template(page, json.dumps(workflow), QUICKSTART.stem)
    run_once(page, server)
    page.wait_for_timeout(3000)
    shoot(page, server, f"after_{'new' if is_new else 'classic'}_{size[0]}")
    assert overlaps(page) == []
    assert not page.errors


@pytest.mark.parametrize(("is_new", "size"), VIEWS)
def test_templates_without_tuning_after_a_run(open_page, server, is_new, size):
    """On the demo model, with few steps and small frames of a clip as wide as most are."""
    page, steps = open_page(size, is_new=is_new), 4 + [view.values for view in VIEWS].index((is_new, size))
    write_wide_clip(server.base / "input" / "my_clip.mp4")
    for path in UNTUNED:
        text = json.dumps(on_demo_model(json.loads(path.read_text(encoding="utf-8")), steps))
        save_file(demo_controlnet(), server.base / "models" / "controlnet" / CANNY)
        open_template(page, text, path.stem)
        run_once(page, server)
        page.wait_for_timeout(2000)
        shoot(page, server, f"{path.stem}_run_{'new' if is_new else 'classic'}_{size[0]}")
        # The demo's loader has more outputs than the one whose place it takes.
        replaced = "CheckpointLoaderSimple" in path.read_text(encoding="utf-8")
        assert [pair for pair in overlaps(page) if not (replaced and "TAVLoadDemoModel" in pair[0])] == []
    assert not page.errors


@pytest.mark.parametrize(("is_new", "size"), VIEWS)
def test_many_clips_after_a_run(open_page, server, is_new, size):
    """A wide clip under three prompts: the videos stand on the node, and what it says below them."""
    path = PACK / "workflows" / "20_many_clips.json"
    folder = server.base / "input" / "my_clips"
    folder.mkdir(exist_ok=True)
    write_wide_clip(folder / "ski.mp4")
    name = f"browser_{is_new}_{size[0]}"
    text = path.read_text(encoding="utf-8").replace('"my_batch"', f'"{name}"')
    workflow = on_demo_model(json.loads(text), 2)
    page = open_page(size, is_new=is_new)
    found = open_and_run(page, server, workflow, path.stem, f"{'new' if is_new else 'classic'}_{size[0]}")
    # The demo's loader has more outputs than the one whose place it takes.
    assert [pair for pair in found if "TAVLoadDemoModel" not in pair[0]] == []
    assert len(list((server.base / "output" / "tav_batches" / name).rglob("*.mp4"))) == 3
    assert not page.errors


@pytest.mark.parametrize(("is_new", "size"), VIEWS)
def test_the_bundled_cascade_after_a_run(open_page, server, is_new, size):
    """A few frames in few steps; each view runs another number of them, so that nothing is cached."""
    path = PACK / "workflows" / "21_lavie_demo.json"
    page, workflow = open_page(size, is_new=is_new), json.loads(path.read_text(encoding="utf-8"))
    set_widget(workflow, "EmptyLatentImage", 2, 4)
    # After the seed and what becomes of it.
    set_widget(workflow, "KSampler", 2, 4 + [view.values for view in VIEWS].index((is_new, size)))
    for kind in ("TAVInterpolateFrames", "TAVUpscaleVideo"):
        set_widget(workflow, kind, 2, 2)
    assert open_and_run(page, server, workflow, path.stem, f"{'new' if is_new else 'classic'}_{size[0]}") == []
    assert not page.errors


def open_and_run(page, server, workflow: dict[str, Any], name: str, view: str) -> list:
    """Opens a workflow and runs it, with a picture before and after; the nodes that cover each other in either."""
    open_template(page, json.dumps(workflow), name)
    shoot(page, server, f"{name}_{view}")
    before = overlaps(page)
    run_once(page, server)
    page.wait_for_timeout(3000)
    shoot(page, server, f"{name}_run_{view}")
    return before + overlaps(page)


def write_wide_clip(path: Path) -> None:
    """The demo's clip, with its edges repeated to 16:9."""
    import cv2

    from tav_core import read_clip, write_video

    frames = read_clip(PACK / "demo" / "clip.mp4", num_frames=8, width=128, height=128).frames.numpy()
    sides = {"top": 0, "bottom": 0, "left": 50, "right": 50}
    write_video(
        path, np.stack([cv2.copyMakeBorder(one, **sides, borderType=cv2.BORDER_REPLICATE) for one in frames]), fps=8
    )


def on_demo_model(workflow: dict[str, Any], steps: int) -> dict[str, Any]:
    """A workflow with the demo model in the loader's place, small frames, and so many steps."""
    smaller = {512: 128, 24: 8, 50: steps, 20: steps, 200: steps}
    for node in workflow["nodes"]:
        if node["type"] == "CheckpointLoaderSimple":
            node.update(type="TAVLoadDemoModel", widgets_values=[])
        if node["type"] in ("TAVLoadClip", "TAVLoadClips", "TAVEditClips", "TAVZeroShotStart", "BasicScheduler"):
            node["widgets_values"] = [smaller.get(value, value) for value in node["widgets_values"]]
    return workflow


VIEWS_RUN: dict[tuple[bool, tuple[int, int]], int] = {}


def set_widget(workflow: dict[str, Any], kind: str, index: int, value: Any) -> None:
    """Changes a widget of the only node of a kind."""
    (node,) = [node for node in workflow["nodes"] if node["type"] == kind]
    node["widgets_values"][index] = value


def run_once(page, server) -> bool:
    """Presses Run and waits for the end; whether a preview was seen in the tuning node on the way."""
    before = set(server.get("/history"))
    press_run(page)
    return wait_for_end(page, server, before)


def wait_for_end(page, server, before: set[str]) -> bool:
    """Waits until a prompt has ended that was not there before, as other tests leave some that failed.

    Returns:
        Whether a preview was seen in the tuning node till then.
    """
    seen, deadline = False, time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        new = [entry for name, entry in server.get("/history").items() if name not in before]
        done = [entry for entry in new if entry["status"]["completed"] or is_failed(entry)]
        if not seen and page.evaluate("Object.keys(app.nodePreviewImages ?? {}).length > 0"):
            seen = True
            page.wait_for_timeout(1000)
            shoot(page, server, "cockpit")
        if done and server.get("/queue")["queue_running"] == []:
            assert not any(map(is_failed, done)), done[-1]["status"]
            return seen
        page.wait_for_timeout(500)
    raise TimeoutError("the quickstart did not end")


def is_failed(entry) -> bool:
    return entry["status"]["status_str"] == "error"
