"""The path of Animate, drawn with the mouse in a real browser, in both renderers."""

from __future__ import annotations

import json

import pytest

from tests.comfyui.page import press_run, shoot
from tests.comfyui.test_browser import wait_for_end

RENDERERS = {"classic": False, "nodes 2.0": True}
# A graph that animates the demo's bear: the first frame of its clip, and its mask.
BUILD = """() => {
    app.graph.clear();
    const add = (type, x, y) => {
        const node = LiteGraph.createNode(type);
        node.pos = [x, y];
        app.graph.add(node);
        return node;
    };
    const [demo, animate] = [add('TAVLoadDemoModel', 40, 100), add('TAVAnimate', 420, 60)];
    const shown = add('PreviewImage', 900, 100);
    const slot = (node, name) => node.inputs.findIndex(input => input.name === name);
    demo.connect(3, animate, slot(animate, 'frames'));
    demo.connect(5, animate, slot(animate, 'mask'));
    animate.connect(0, shown, 0);
    const set = (name, value) => { animate.widgets.find(w => w.name === name).value = value; };
    set('still', true);
    set('num_frames', 4);
    animate.setSize([360, 720]);
}"""
ANIMATE = "app.graph._nodes.find(n => n.type === 'TAVAnimate')"
VALUE = f"() => {ANIMATE}.widgets.find(w => w.name === 'path').value"
TYPE = f"""text => {{
    const widget = {ANIMATE}.widgets.find(w => w.name === 'path');
    widget.value = text;
    widget.callback?.(text);
}}"""
WHERE = f"() => [...{ANIMATE}.pos]"
PAD = ".tav-motion-path svg"


@pytest.fixture(params=RENDERERS)
def renderer(request, server):
    yield request.param
    server.post("/api/settings/Comfy.VueNodes.Enabled", False)


@pytest.fixture
def page(open_page, renderer):
    page = open_page((1440, 1000), is_new=RENDERERS[renderer])
    page.called = renderer.replace(" ", "_")
    page.keyboard.press("Escape")
    page.evaluate(BUILD)
    page.evaluate(
        "() => { app.canvas.ds.scale = 0.9; app.canvas.ds.offset = [60, 30]; app.canvas.setDirty(true, true); }"
    )
    page.wait_for_selector(PAD, timeout=30_000)
    page.wait_for_timeout(1500)
    return page


def place(page, x, y):
    """A point of the picture, which is a square in the middle of the pad, on the screen."""
    box = page.locator(PAD).bounding_box()
    side = min(box["width"], box["height"])
    left, top = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
    return left + x * side, top + y * side


def drag(page, *points, steps=12):
    page.mouse.move(*place(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point), steps=steps)
    page.mouse.up()


def path_of(page):
    text = page.evaluate(VALUE)
    return json.loads(text) if text else []


def near(points, wanted, by=0.02):
    return len(points) == len(wanted) and all(
        abs(x - a) < by and abs(y - b) < by for (x, y), (a, b) in zip(points, wanted, strict=True)
    )


def test_a_path_is_drawn_moved_run_and_saved(page, server):
    stood = page.evaluate(WHERE)
    # A corner is kept; the straight parts need no points.
    drag(page, (0.3, 0.6), (0.6, 0.6), (0.6, 0.3))
    assert near(path_of(page), [(0.3, 0.6), (0.6, 0.6), (0.6, 0.3)])
    page.mouse.click(*place(page, 0.9, 0.3))
    assert near(path_of(page), [(0.3, 0.6), (0.6, 0.6), (0.6, 0.3), (0.9, 0.3)])
    drag(page, (0.6, 0.6), (0.5, 0.8))
    assert near(path_of(page), [(0.3, 0.6), (0.5, 0.8), (0.6, 0.3), (0.9, 0.3)])
    page.mouse.dblclick(*place(page, 0.6, 0.3))
    assert near(path_of(page), [(0.3, 0.6), (0.5, 0.8), (0.9, 0.3)])
    shoot(page, server, f"motion_path_drawn_{page.called}")
    assert page.evaluate(WHERE) == stood, "drawing does not drag the node"

    before = set(server.get("/history"))
    press_run(page)
    wait_for_end(page, server, before)
    page.wait_for_timeout(1500)
    assert page.locator(f"{PAD} image").get_attribute("href"), "the picture is shown under the path"
    shoot(page, server, f"motion_path_run_{page.called}")
    (run,) = [entry for name, entry in server.get("/history").items() if name not in before]
    (sent,) = [node["inputs"] for node in run["prompt"][2].values() if node["class_type"] == "TAVAnimate"]
    drawn = path_of(page)
    assert json.loads(sent["path"]) == drawn and sent["num_frames"] == 4 and sent["follows"] is False

    page.evaluate("async () => { await app.loadGraphData(app.graph.serialize()); }")
    page.wait_for_selector(PAD)
    page.wait_for_timeout(1500)
    assert path_of(page) == drawn, "the points outlive a reload"
    assert page.locator(f"{PAD} circle").count() == len(drawn)
    assert page.evaluate(f"() => {ANIMATE}.widgets.find(w => w.name === 'num_frames').value") == 4
    page.get_by_role("button", name="clear").click()
    assert path_of(page) == []
    page.keyboard.press("Control+z")
    page.wait_for_function(f"() => {ANIMATE}.widgets.find(w => w.name === 'path').value")
    assert path_of(page) == drawn, "undo brings back what was cleared"
    assert not page.errors


def test_a_typed_path_is_drawn_and_one_that_leads_out_is_kept(page, server):
    page.evaluate(TYPE, "0.2,0.5 1.2,0.5")
    page.wait_for_timeout(500)
    assert page.locator(f"{PAD} circle").count() == 2
    drag(page, (0.2, 0.5), (0.4, 0.4))
    assert near(path_of(page), [(0.4, 0.4), (1.2, 0.5)])
    assert not page.errors


VIEW = "() => [app.canvas.ds.scale, ...app.canvas.ds.offset]"
# A picture that is twice as wide as high, made square before it reaches the node.
SCALED = """([name]) => {
    const animate = app.graph._nodes.find(n => n.type === 'TAVAnimate');
    const add = type => {
        const node = LiteGraph.createNode(type);
        node.pos = [40, 500];
        app.graph.add(node);
        return node;
    };
    const [load, scale] = [add('LoadImage'), add('ImageScale')];
    load.widgets.find(w => w.name === 'image').value = name;
    load.connect(0, scale, 0);
    scale.connect(0, animate, animate.inputs.findIndex(input => input.name === 'frames'));
}"""
CHOOSE = """() => {
    const [image] = app.graph._nodes.find(n => n.type === 'LoadImage').widgets;
    image.value = 'second.png';
    image.callback(image.value);
}"""
WATCH_PICTURES = """() => {
    window.asked = [];
    window.Image = class extends Image {
        set src(address) {
            window.asked.push(address);
            super.src = address;
        }
    };
}"""
# What ComfyUI calls when the node has run; the address needs no file behind it.
RAN = f"() => {ANIMATE}.onExecuted({{tav_picture: [{{filename: 'ran.png', subfolder: '', type: 'temp'}}]}})"


def test_the_wheel_and_the_middle_button_still_move_the_canvas(page):
    x, y = place(page, 0.5, 0.5)
    before = page.evaluate(VIEW)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -120)
    page.wait_for_timeout(500)
    zoomed = page.evaluate(VIEW)
    assert zoomed[0] > before[0]
    page.mouse.down(button="middle")
    page.mouse.move(x + 60, y + 40, steps=6)
    page.mouse.up(button="middle")
    page.wait_for_timeout(500)
    moved = page.evaluate(VIEW)
    assert moved[0] == zoomed[0] and moved[1] > zoomed[1] and moved[2] > zoomed[2]
    page.mouse.move(x + 160, y + 40)
    page.wait_for_timeout(300)
    assert page.evaluate(VIEW) == moved, "the button was let go"
    assert path_of(page) == [] and not page.errors


def test_the_picture_that_ran_stays_until_another_is_chosen(page):
    page.evaluate(WATCH_PICTURES)
    page.evaluate(SCALED, ["first.png"])
    page.wait_for_timeout(500)
    assert "first.png" in page.evaluate("asked.at(-1)")
    page.evaluate(RAN)
    page.wait_for_timeout(500)
    page.mouse.move(*place(page, 0.5, 0.5))
    page.mouse.move(*place(page, 0.4, 0.5))
    page.wait_for_timeout(500)
    assert "ran.png" in page.evaluate("asked.at(-1)"), "the first has another shape than what reached the node"
    page.evaluate(CHOOSE)
    page.mouse.move(0, 0)
    page.mouse.move(*place(page, 0.5, 0.5))
    page.wait_for_timeout(500)
    assert page.evaluate("asked.some(address => address.includes('second.png') && !address.includes('rand'))")


# A picture that reaches the node through one other node, of which only the class and a widget matter here.
THROUGH = """async ([kind, crop, type]) => {
    const { connectedPicture } = await import('/extensions/tune_a_video/connected_picture.js');
    const load = { comfyClass: 'LoadImage', graph: app.graph, id: 901, widgets: [{ name: 'image', value: 'a.png' }] };
    const inputs = [{ name: 'image', type, link: 1 }];
    const between = { comfyClass: kind, graph: app.graph, id: 902, inputs, getInputNode: () => load };
    if (crop) between.widgets = [{ name: 'crop', value: crop }];
    const node = { inputs: [{ name: 'frames', type: 'IMAGE', link: 2 }], getInputNode: () => between };
    return connectedPicture(node);
}"""


@pytest.mark.parametrize(
    ("kind", "crop", "socket", "shown"),
    [
        ("ImageScaleBy", None, "IMAGE", True),
        ("ImageScale", "disabled", "IMAGE", True),
        ("ImageScale", "center", "IMAGE", False),
        ("ImageCrop", None, "IMAGE", False),
        ("ImageRotate", None, "IMAGE", False),
        ("SomebodysFlip", None, "IMAGE", False),
        ("Reroute", None, "*", True),
    ],
)
def test_a_picture_shows_through_nodes_that_leave_everything_at_its_place(page, kind, crop, socket, shown):
    address = page.evaluate(THROUGH, [kind, crop, socket])
    assert ("a.png" in address) if shown else address is None


# A node of a subgraph, behind which stands a node whose id another one of the whole graph has too.
IN_SUBGRAPH = """async () => {
    const { connectedPicture } = await import('/extensions/tune_a_video/connected_picture.js');
    const graph = { isRootGraph: false, id: '0b5c1a9e-6f0e-4d0c-9a7e-0123456789ab' };
    const picture = name => ({ images: [{ filename: name, subfolder: '', type: 'temp' }] });
    Object.assign(app.nodeOutputs, { 3: picture('other.png'), [`${graph.id}:3`]: picture('own.png') });
    const shown = { id: 3, graph, comfyClass: 'PreviewImage' };
    const node = { graph, inputs: [{ name: 'frames', link: 1 }], getInputNode: () => shown };
    const inRoot = { ...node, getInputNode: () => ({ ...shown, graph: app.graph }) };
    return [connectedPicture(node), connectedPicture(inRoot)];
}"""


def test_a_node_in_a_subgraph_is_not_taken_for_another_of_the_same_id(page):
    inside, in_root = page.evaluate(IN_SUBGRAPH)
    assert "own.png" in inside and "other.png" in in_root
