"""Templates stand in the order of their numbers in the page's own dialog; the server lists them in its disk's order."""

from __future__ import annotations

from tests.comfyui.page import shoot
from tests.comfyui.server import PACK

NAMES = sorted(path.stem for path in (PACK / "workflows").glob("*.json"))
# The names of ours in the order in which the dialog shows them.
SHOWN = """(names) => [...document.querySelectorAll('*')]
    .filter(e => !e.children.length && names.includes(e.textContent.trim()))
    .map(e => e.textContent.trim())"""


def test_templates_stand_in_the_order_of_their_numbers(page, server):
    assert NAMES[0] == "01_quickstart"
    page.evaluate("app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.wait_for_timeout(3000)
    page.get_by_text("tune_a_video", exact=True).first.click()
    page.wait_for_function("([show, names]) => eval(show)(names).length", arg=[SHOWN, NAMES], timeout=30_000)
    shoot(page, server, "template_order")
    shown = list(dict.fromkeys(page.evaluate(SHOWN, NAMES)))
    assert shown[:3] == NAMES[:3] and shown == sorted(shown)
    assert not page.errors
