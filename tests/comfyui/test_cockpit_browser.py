"""The cockpit's states in a real browser, in both renderers: one picture at a time, and no node grows over another."""

from __future__ import annotations

import time

import pytest

from tests.comfyui.test_browser import QUICKSTART, browser, drop, shoot  # noqa: F401
from tests.comfyui.tune_files import steps_done

SIZES = [(1920, 945), (1440, 800)]
RENDERERS = {"classic": False, "nodes 2.0": True}
RUN_SECONDS = 300
# How many pictures the tuning node shows; the classic page draws one on the canvas.
PICTURES = """() => {
    const node = app.graph._nodes.find(n => n.type === 'TAVOneShotTune');
    const box = document.querySelector(`[data-node-id="${node.id}"]`);
    return box ? [...box.querySelectorAll('img')].filter(i => i.offsetHeight > 50).length : node.imgs?.length ?? 0;
}"""
# Whether the node shows what the run gave, and no longer the live preview.
OUTPUT_ALONE = """() => {
    const { id } = app.graph._nodes.find(n => n.type === 'TAVOneShotTune');
    return app.nodeOutputs[id]?.images?.length === 1 && !app.nodePreviewImages[id];
}"""
COUNT_STEPS = """() => {
    const { id } = app.graph._nodes.find(n => n.type === 'TAVOneShotTune');
    app.api.addEventListener('progress_state', ({ detail }) => {
        const tuning = detail.nodes[id];
        if (tuning?.state === 'running') window.stepsDone = tuning.value;
    });
}"""
# The nodes that the tuning node overlaps.
OVERLAPS = """() => {
    const scale = app.canvas.ds.scale;
    const area = n => {
        const box = document.querySelector(`[data-node-id="${n.id}"]`)?.getBoundingClientRect();
        const [width, height] = box ? [box.width / scale, box.height / scale] : [n.size[0], n.size[1] + 30];
        return { left: n.pos[0], top: n.pos[1] - 30, right: n.pos[0] + width, bottom: n.pos[1] - 30 + height };
    };
    const own = app.graph._nodes.find(n => n.type === 'TAVOneShotTune'), a = area(own);
    return app.graph._nodes.filter(n => n !== own).filter(n => {
        const b = area(n);
        return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    }).map(n => n.title);
}"""


@pytest.fixture(params=RENDERERS)
def renderer(request, server):
    server.post("/api/settings/Comfy.TutorialCompleted", True)
    server.post("/api/settings/Comfy.VueNodes.Enabled", RENDERERS[request.param])
    yield request.param
    server.post("/api/settings/Comfy.VueNodes.Enabled", False)


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def page(browser, server, renderer, request):  # noqa: F811
    width, height = request.param
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(server.url)
    page.wait_for_function("window.app?.vueAppReady", timeout=120_000)
    page.wait_for_function("!document.querySelector('.p-blockui-mask')", timeout=120_000)
    page.called = f"{renderer.replace(' ', '_')}_{width}"
    yield page
    page.close()


def set_widgets(page, **values):
    """Sets widgets of One-Shot Tune."""
    page.evaluate(
        """values => {
            const node = app.graph._nodes.find(n => n.type === 'TAVOneShotTune');
            for (const [name, value] of Object.entries(values)) node.widgets.find(w => w.name === name).value = value;
        }""",
        values,
    )


def wait_for_step(page, step):
    page.wait_for_function(f"window.stepsDone >= {step}", timeout=1000 * RUN_SECONDS)


def press_run(page):
    page.get_by_role("button", name="Run", exact=True).first.click()


def wait_idle(server):
    """Waits until nothing runs."""
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        queue = server.get("/queue")
        if not queue["queue_running"] and not queue["queue_pending"]:
            return
        time.sleep(0.5)
    raise TimeoutError("the run did not end")


def keep_tuning_alone(page):
    """Takes off what comes after the tuning, so that a run ends with it."""
    page.evaluate(
        """() => {
            const links = kind => app.graph._nodes.filter(n => n.type === kind);
            for (const n of links('SaveVideo')) n.mode = 4;
        }"""
    )


def test_the_states_of_a_run(page, server, renderer):
    """A preview is rendered; stopped; resumed and done; done earlier with a learning rate that is not used."""
    name = f"browser_{page.called}"
    state = server.base / "output" / "tav_runs" / f"{name}.safetensors"
    drop(page, QUICKSTART)
    assert bool(page.evaluate("document.querySelectorAll('[data-node-id]').length")) == RENDERERS[renderer]
    keep_tuning_alone(page)
    page.evaluate(COUNT_STEPS)
    assert page.evaluate(OVERLAPS) == []
    set_widgets(page, run_name=name, num_steps=400, preview_every=2, save_every=20)
    press_run(page)
    wait_for_step(page, 2)
    page.wait_for_timeout(700)
    shoot(page, server, f"cockpit_preview_{page.called}")
    assert page.evaluate(PICTURES) == 1
    wait_for_step(page, 3)
    page.wait_for_timeout(700)
    shoot(page, server, f"cockpit_runs_{page.called}")
    server.post("/interrupt")
    wait_idle(server)
    page.wait_for_timeout(1500)
    done = steps_done(state)
    shoot(page, server, f"cockpit_stopped_{page.called}")
    assert page.evaluate(PICTURES) == 1 and page.evaluate(OVERLAPS) == []

    set_widgets(page, num_steps=done + 2)
    page.evaluate("window.stepsDone = 0")
    press_run(page)
    wait_for_step(page, done + 1)
    page.wait_for_timeout(700)
    shoot(page, server, f"cockpit_resumed_{page.called}")
    wait_idle(server)
    page.wait_for_function(OUTPUT_ALONE, timeout=30_000)
    page.wait_for_timeout(1500)
    shoot(page, server, f"cockpit_done_{page.called}")
    assert page.evaluate(PICTURES) == 1 and page.evaluate(OVERLAPS) == []

    set_widgets(page, learning_rate=0.5e-4)
    press_run(page)
    page.wait_for_timeout(1500)
    assert page.evaluate(PICTURES) <= 1, "the picture of the run before gives way"
    wait_idle(server)
    page.wait_for_function(OUTPUT_ALONE, timeout=30_000)
    page.wait_for_timeout(1500)
    shoot(page, server, f"cockpit_earlier_{page.called}")
    assert page.evaluate(PICTURES) == 1 and page.evaluate(OVERLAPS) == []
