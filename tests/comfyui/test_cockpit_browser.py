"""The cockpit's states in a real browser, in both renderers: one picture at a time, and no node grows over another."""

from __future__ import annotations

import time

import pytest

from tests.comfyui.overlaps import overlaps
from tests.comfyui.page import QUICKSTART, drop, press_run, shoot
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


@pytest.fixture(params=RENDERERS)
def renderer(request, server):
    yield request.param
    server.post("/api/settings/Comfy.VueNodes.Enabled", False)


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def page(open_page, renderer, request):
    page = open_page(request.param, is_new=RENDERERS[renderer])
    page.called = f"{renderer.replace(' ', '_')}_{request.param[0]}"
    return page


def covered_by_tuning(page) -> list[tuple[str, str]]:
    """The nodes that the tuning node covers or that cover it."""
    return [pair for pair in overlaps(page, by=0) if any("TAVOneShotTune" in name for name in pair)]


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
    assert covered_by_tuning(page) == []
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
    assert page.evaluate(PICTURES) == 1 and covered_by_tuning(page) == []

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
    assert page.evaluate(PICTURES) == 1 and covered_by_tuning(page) == []

    set_widgets(page, learning_rate=0.5e-4)
    press_run(page)
    page.wait_for_timeout(1500)
    assert page.evaluate(PICTURES) <= 1, "the picture of the run before gives way"
    wait_idle(server)
    page.wait_for_function(OUTPUT_ALONE, timeout=30_000)
    page.wait_for_timeout(1500)
    shoot(page, server, f"cockpit_earlier_{page.called}")
    assert page.evaluate(PICTURES) == 1 and covered_by_tuning(page) == []
