"""Load Clip in a real ComfyUI: what it shows of the range it takes, and its options."""

from __future__ import annotations

import numpy as np
import pytest

from tav_core.video.write import write_video
from tests.comfyui.graphs import clip_graph
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
