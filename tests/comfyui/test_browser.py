"""The quickstart in a real browser: dropped on the canvas, run, watched. Screenshots are kept in out/browser.

Needs playwright and a Chromium: at CHROMIUM, or one of those named in BROWSERS.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.comfyui.server import PACK

NO_PLAYWRIGHT = (
    "NO PACKAGE playwright, so nothing was tried in a browser: pip install -r tests/comfyui/requirements.txt"
)
playwright = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SHOTS = PACK / "out" / "browser"
QUICKSTART = PACK / "workflows" / "01_quickstart.json"
RUN_SECONDS = 600
OURS = "app.graph._nodes.some(n => n.type.startsWith('TAV'))"
DROP = """async (text) => {
    const data = new DataTransfer();
    data.items.add(new File([text], 'quickstart.json', { type: 'application/json' }));
    const canvas = document.querySelector('#graph-canvas');
    const box = canvas.getBoundingClientRect();
    const where = { clientX: box.width / 2, clientY: box.height / 2, bubbles: true, cancelable: true };
    for (const kind of ['dragenter', 'dragover', 'drop'])
        canvas.dispatchEvent(new DragEvent(kind, { ...where, dataTransfer: data }));
}"""


@pytest.fixture(scope="module")
def browser():
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no Chromium: set CHROMIUM, or install one of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    server.post("/api/settings/Comfy.TutorialCompleted", True)
    page = browser.new_page(viewport={"width": 2400, "height": 1300})
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(server.url)
    page.wait_for_function("window.app?.vueAppReady", timeout=120_000)
    # Front ends of 0.8 stay covered while they load their extensions.
    page.wait_for_function("!document.querySelector('.p-blockui-mask')", timeout=120_000)
    yield page
    page.close()


def shoot(page, server, name: str) -> Path:
    """Keeps a screenshot, by ComfyUI's version."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{server.version}_{name}.png"
    page.screenshot(path=path)
    return path


def drop(page, path: Path) -> None:
    """Drops a workflow on the canvas and waits until the graph is there."""
    page.evaluate(DROP, path.read_text())
    page.wait_for_function(OURS, timeout=30_000)
    page.wait_for_timeout(800)
    # Front ends of 0.8 cover the graph with a list of the models that are to be downloaded.
    page.keyboard.press("Escape")
    page.wait_for_timeout(800)
    page.keyboard.press(".")
    page.wait_for_timeout(800)


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


@pytest.mark.parametrize("path", sorted((PACK / "workflows").glob("*.json")), ids=lambda path: path.stem)
def test_every_template_opens(page, server, path):
    drop(page, path)
    missing = page.evaluate("app.graph._nodes.map(n => n.type).filter(t => !LiteGraph.registered_node_types[t])")
    assert not missing
    shoot(page, server, path.stem)
    assert not page.errors


def test_quickstart_by_drag_and_drop_and_run(page, server):
    drop(page, QUICKSTART)
    page.get_by_role("button", name="Run", exact=True).first.click()
    seen = wait_for_end(page, server)
    assert seen, "no progress was shown while it ran"
    page.keyboard.press(".")
    page.wait_for_timeout(3000)
    shoot(page, server, "quickstart_done")
    videos = [file for kind in ("mp4", "webm", "webp") for file in (server.base / "output").rglob(f"*.{kind}")]
    assert videos, "the quickstart leaves a video"
    assert page.evaluate("document.querySelectorAll('video').length") or "video" in page.content()
    assert not page.errors


def wait_for_end(page, server) -> bool:
    """Waits for the prompt's end; whether a preview was seen in the tuning node on the way."""
    seen, deadline = False, time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        history = server.get("/history")
        done = [entry for entry in history.values() if entry["status"]["completed"] or is_failed(entry)]
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
