"""ComfyUI's page in a real browser: opening it, dropping a workflow on it; screenshots are kept in out/browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.comfyui.server import PACK

SHOTS = PACK / "out" / "browser"
QUICKSTART = PACK / "workflows" / "01_quickstart.json"
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


@pytest.fixture
def open_page(browser, server):
    """Opens ComfyUI's page of a size, in the classic renderer or in Nodes 2.0."""
    opened = []

    def open_one(size: tuple[int, int], *, is_new: bool = False) -> Any:
        server.post("/api/settings/Comfy.TutorialCompleted", True)
        server.post("/api/settings/Comfy.VueNodes.Enabled", is_new)
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        opened.append(page)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(server.url)
        page.wait_for_function("window.app?.vueAppReady", timeout=120_000)
        # Front ends of 0.8 stay covered while they load their extensions.
        page.wait_for_function("!document.querySelector('.p-blockui-mask')", timeout=120_000)
        return page

    yield open_one
    for page in opened:
        page.close()


@pytest.fixture
def page(open_page):
    return open_page((1920, 945))


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


def press_run(page) -> None:
    page.get_by_role("button", name="Run", exact=True).first.click()
