"""A cancel is heard within two seconds, in whatever part of the work it comes. Each part here takes much longer."""

from __future__ import annotations

import json
import time
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.comfyui.graphs import EDIT, EDITED, LABELS, changed, motion_graph, node, text, tune_graph
from tests.comfyui.tune_files import steps_done

MOST_SECONDS = 2.0
# Enough for every part to take some ten seconds on two cores, which a test never waits for.
SIDE, NUM_FRAMES, LONG, STEPS = 128, 8, 4000, 100
CLIP = {"video": "long.mp4", "start": 0, "stride": 1, "width": SIDE, "height": SIDE, "fit": "crop"}
# Seconds after a node has begun.
EARLY, LATER = 0.2, 3.0


@pytest.fixture(scope="module")
def clip(server):
    """A long video of 720p: a second of noise, whose packets are repeated."""
    noise = np.random.default_rng(0)
    with av.open(str(server.base / "input" / "long.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.gop_size = 1280, 720, 25
        stream.bit_rate = 20_000_000
        frames = [noise.integers(0, 255, (720, 1280, 3), dtype=np.uint8) for _ in range(25)]
        packets = [p for frame in frames for p in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24"))]
        packets += stream.encode()
        data = [(bytes(packet), packet.is_keyframe) for packet in packets if packet.size]
        for number in range(LONG):
            content, key = data[number % len(data)]
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = key
            file.mux(packet)


@pytest.fixture
def client(server):
    client = server.connect()
    yield client
    client.close()


def interrupt(server, client, graph, *, at, after=0.0, when=lambda message: True):
    """Cancels a graph once a node has sent a message; seconds until the server says that it has stopped.

    Args:
        at: the node; it begins with a message that it is executing.
        after: seconds between the message and the cancel.
        when: which of the node's messages it is.
    """
    answer = client.queue(graph)
    assert not answer.get("node_errors"), json.dumps(answer)[:2000]
    cancelled_at = None
    while True:
        message = client.socket.recv(timeout=300)
        if isinstance(message, bytes):
            continue
        message = json.loads(message)
        data = message.get("data", {})
        assert message["type"] not in ("execution_error", "execution_success"), data
        if message["type"] == "execution_interrupted" and data["prompt_id"] == answer["prompt_id"]:
            assert cancelled_at is not None and data["node_id"] == at
            return time.monotonic() - cancelled_at
        if cancelled_at is None and data.get("node") == at and when(message):
            time.sleep(after)
            cancelled_at = time.monotonic()
            server.post("/interrupt")


def tuning(**changes):
    """A tuning whose steps take seconds."""
    frames = node("TAVLoadClip", **CLIP, num_frames=NUM_FRAMES)
    graph = tune_graph(num_steps=50, frames=["load", 0], memory="speed", resume="restart", **changes)
    return {**graph, "load": frames, "edited": text(EDITED), "empty": text("")}


def is_progress(value):
    return lambda message: message["type"] == "progress" and message["data"]["value"] >= value


@pytest.mark.parametrize(
    ("choice", "after"),
    [
        ({"num_frames": LONG, "width": 64, "height": 64}, EARLY),
        ({"num_frames": LONG, "width": 64, "height": 64}, LATER),
        ({"start": LONG - 2, "num_frames": 2}, 0.1),
    ],
    ids=["its times", "its frames", "its last frames"],
)
def test_while_a_clip_is_read(server, client, clip, after, choice):
    graph = {
        "load": node("TAVLoadClip", **{**CLIP, **choice, "fit": "pad"}),
        "save": node("PreviewImage", images=["load", 0]),
    }
    assert interrupt(server, client, graph, at="load", after=after) < MOST_SECONDS


@pytest.mark.parametrize("after", [0.1, 1.0, LATER, 6.0])
def test_before_the_first_step_of_a_tuning(server, client, clip, after):
    """The frames are encoded, the model is copied."""
    assert interrupt(server, client, tuning(run_name="before"), at="tune", after=after) < MOST_SECONDS


@pytest.mark.parametrize("after", [0.0, 1.0, 2.5])
def test_within_a_step_of_a_tuning(server, client, clip, after):
    """What was done is saved: the state stands at the last whole step."""
    name = f"within_{after}"
    assert interrupt(server, client, tuning(run_name=name), at="tune", after=after, when=is_progress(1)) < MOST_SECONDS
    assert steps_done(server.base / "output" / "tav_runs" / f"{name}.safetensors") >= 1


@pytest.mark.parametrize("after", [0.0, 2.0, 8.0])
def test_while_a_preview_is_rendered(server, client, clip, after):
    graph = tuning(run_name="previews", preview_every=1, preview_positive=["edited", 0], preview_negative=["empty", 0])
    assert interrupt(server, client, graph, at="tune", after=after, when=is_progress(1)) < MOST_SECONDS


@pytest.fixture(scope="module")
def motion(server):
    """A small motion to sample with."""
    client = server.connect()
    done = client.run(tune_graph(run_name="for_interrupts", num_steps=1))
    client.close()
    assert done["status"]["status_str"] == "success"
    return "for_interrupts.safetensors"


def sampling(motion, **more):
    """The clip inverted under a saved motion, at a number of steps that takes long."""
    graph = motion_graph(motion) | {"clip": node("TAVLoadClip", **CLIP, num_frames=NUM_FRAMES), "edited": text(EDITED)}
    graph = changed(graph, "encode", pixels=["clip", 0])
    return {**changed(graph, "invert", num_steps=STEPS), **more}


@pytest.mark.parametrize("after", [EARLY, LATER])
def test_while_a_clip_is_inverted(server, client, clip, motion, after):
    assert interrupt(server, client, sampling(motion), at="invert", after=after) < MOST_SECONDS


@pytest.mark.parametrize("after", [EARLY, LATER])
def test_while_an_edit_is_sampled(server, client, clip, motion, after):
    links = {"model": ["apply", 0], "positive": ["edited", 0], "negative": ["empty", 0], "latent": ["invert", 0]}
    edit = node("TAVSampleEdit", **links, **{**EDIT, "num_steps": STEPS})
    graph = sampling(motion, edit=edit, decode=node("VAEDecode", samples=["edit", 0], vae=["demo", 2]))
    graph = changed(graph, "invert", num_steps=1)
    assert interrupt(server, client, graph, at="edit", after=after) < MOST_SECONDS


@pytest.mark.parametrize("after", [EARLY, LATER])
def test_while_inversions_are_compared(server, client, clip, motion, after):
    links = {"model": ["apply", 0], "conditioning": ["empty", 0], "latent": ["encode", 0], "vae": ["demo", 2]}
    graph = sampling(motion, compare=node("TAVCompareInversions", **links, num_steps=STEPS, iterations=3))
    graph = {name: about for name, about in graph.items() if name not in ("invert", "decode", "show")}
    assert interrupt(server, client, graph, at="compare", after=after) < MOST_SECONDS


@pytest.mark.parametrize("after", [EARLY, 1.0, LATER])
@pytest.mark.parametrize("name", ["measure", "report", "composite"])
def test_while_a_video_is_measured_reported_or_composed(server, client, clip, after, name):
    images = {"frames": ["load", 0], "source": ["load", 0]}
    local = {"feather": 64, "first_frame": 0, "last_frame": -1, "ramp": 0}
    nodes = {
        "measure": node(
            "TAVMeasureVideo", **images, prompt="", clip_model="none", dino_model="none", pairs="all", motion=True
        ),
        "report": node(
            "TAVReport",
            **{f"video_{slot}": ["load", 0] for slot in "abcd"},
            **LABELS,
            fps=8.0,
            name="report",
            run_name="",
        ),
        "composite": node("TAVCompositeEdit", source=["load", 0], edited=["load", 0], mask=["mask", 0], **local),
    }
    graph = {
        "load": node("TAVLoadClip", **{**CLIP, "width": 512, "height": 512}, num_frames=200),
        "mask": node("ImageToMask", image=["load", 0], channel="red"),
        "show": node("PreviewImage", images=["composite", 0]),
        name: nodes[name],
    }
    if name != "composite":
        graph.pop("show")
    assert interrupt(server, client, graph, at=name, after=after) < MOST_SECONDS
