"""Load Clip in a real ComfyUI: what it shows of the range it takes, and its options."""

from __future__ import annotations

import numpy as np
import pytest

from tav_core.video.write import write_video
from tests.comfyui.graphs import clip_graph
from tests.comfyui.page import shoot
from tests.comfyui.server import error_of


@pytest.fixture(scope="module")
def clip(server):
    """40 frames at 24 frames per second, 160x96."""
    frames = np.random.default_rng(0).random((40, 96, 160, 3), np.float32)
    write_video(server.base / "input" / "forty.mp4", frames, fps=24)
    return "forty.mp4"


@pytest.fixture
def client(server):
    client = server.connect()
    yield client
    client.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_frames": 24}, "40 frames, 24 fps, taking 0-23, 1.0 s, 96x96"),
        ({"start": 4, "stride": 3}, "40 frames, 24 fps, taking 4-25 in steps of 3, 1.0 s, 96x96"),
        ({"num_frames": 99, "if_short": "take what there is"}, "40 frames, 24 fps, taking 0-39, 1.7 s, 96x96"),
        ({"force_rate": 12.0}, "20 frames, 12 fps (forced), taking 0-7, 0.7 s, 96x96"),
        ({"keep_aspect": True}, "40 frames, 24 fps, taking 0-7, 0.3 s, 96x56"),
        ({"keep_aspect": True, "width": 512, "height": 512}, "40 frames, 24 fps, taking 0-7, 0.3 s, 512x304"),
    ],
)
def test_the_node_shows_what_it_takes(client, clip, changes, said):
    assert error_of(client.run(clip_graph(video=clip, **changes))) == ""
    assert any(message.endswith(said.encode()) for message in client.previews), said


class TestBeforeARun:
    """The node says what its widgets take whenever one changes."""

    @pytest.mark.parametrize(
        ("widgets", "said"),
        [
            ({"num_frames": 24}, "40 frames, 24 fps, taking 0-23, 1.0 s, 512x512"),
            (
                {"num_frames": 8, "force_rate": 12.0, "stride": 2},
                "20 frames, 12 fps (forced), taking 0-14 in steps of 2",
            ),
            ({"num_frames": 8, "keep_aspect": True}, "40 frames, 24 fps, taking 0-7, 0.3 s, 512x304"),
            (
                {"num_frames": 41},
                "Got 40 frames in forty.mp4, of which start 0 and stride 1 leave 40. Lower num_frames to 40.",
            ),
            ({"num_frames": 41, "if_short": "take what there is"}, "taking 0-39"),
            ({"num_frames": "many"}, "Got num_frames 'many'"),
            ({"width": 100}, "Got width 100"),
            ({"video": "nowhere.mp4"}, ""),
            ({"video": "../models/x"}, ""),
            ({"video": "/etc/hostname"}, ""),
            ({"video": None}, ""),
        ],
    )
    def test_what_the_route_says(self, server, clip, widgets, said):
        text = server.post("/tune_a_video/clip_range", {"video": clip, **widgets})["text"]
        assert text.startswith(said) or said in text, text
        assert bool(text) == bool(said)

    @pytest.mark.parametrize("is_new", [False, True], ids=["classic", "nodes_2.0"])
    def test_the_node_on_the_page(self, server, clip, open_page, is_new):
        page = open_page((1440, 800), is_new=is_new)
        page.evaluate(ADD, clip)
        for count, said in ((12, "taking 0-11, 0.5 s"), (41, "leave 40")):
            page.evaluate(SET, count)
            page.wait_for_function(f"({SHOWN})().includes({said!r})", timeout=20_000)
        shoot(page, server, f"load_clip_range_{'new' if is_new else 'classic'}")
        assert not page.errors


ADD = """(clip) => {
    const node = LiteGraph.createNode('TAVLoadClip');
    app.graph.clear();
    app.graph.add(node);
    node.pos = [100, 100];
    node.widgets.find(w => w.name === 'video').value = clip;
}"""
# As the page itself sets a widget that a user has changed.
SET = """(count) => {
    const widget = app.graph._nodes[0].widgets.find(w => w.name === 'num_frames');
    widget.setValue ? widget.setValue(count, { e: {}, node: app.graph._nodes[0], canvas: app.canvas })
                    : (widget.value = count, widget.callback(count));
}"""
SHOWN = "() => String(app.graph._nodes[0].widgets.find(w => w.name === '$$node-text-preview')?.value ?? '')"
