"""Faults around a real ComfyUI: files that vanish, browsers that close, cancels, freed models, a killed server."""

from __future__ import annotations

import json
import random
import shutil
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.comfyui.graphs import clip_graph, edit_graph, motion_graph, node, tune_graph
from tests.comfyui.server import PACK, Server, error_of
from tests.comfyui.tune_files import steps_done

SMALL = {"num_frames": 4, "width": 64, "height": 64}
# Beyond this a test would not end in a reasonable time: never reached, always cancelled.
ENDLESS = 5000


@pytest.fixture
def client(server):
    client = server.connect()
    yield client
    client.close()


def state_path(server, name):
    return server.base / "output" / "tav_runs" / f"{name}.safetensors"


def motion_path(server, name):
    return server.base / "models" / "tav_motion" / f"{name}.safetensors"


def pixels(server, done):
    """The pictures that a prompt has shown or saved."""
    import io
    import urllib.parse
    import urllib.request

    from PIL import Image

    found = []
    for name in sorted(done["outputs"]):
        for about in done["outputs"][name].get("images", []):
            where = urllib.parse.urlencode({key: about[key] for key in ("filename", "subfolder", "type")})
            with urllib.request.urlopen(f"{server.url}/view?{where}", timeout=30) as answer:
                found.append(np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB")))
    return found


def same_pictures(one, other):
    return len(one) == len(other) > 0 and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def same_tensors(one, other):
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def busy(server, client):
    """Queues a run that keeps the server at it until it is interrupted; its id, once the run takes steps."""
    answer = client.queue(tune_graph(run_name="busy", num_steps=ENDLESS, save_every=0, resume="restart"))
    while True:
        message = client.socket.recv(timeout=120)
        if not isinstance(message, bytes) and json.loads(message)["type"] == "progress":
            return answer["prompt_id"]


class TestAClipBetweenQueueAndRun:
    @pytest.fixture
    def clip(self, server):
        path = server.base / "input" / "changing.mp4"
        shutil.copy(PACK / "demo" / "clip.mp4", path)
        return path

    def test_that_vanishes(self, server, client, clip):
        run = busy(server, client)
        answer = client.queue(clip_graph(video=clip.name, **SMALL))
        clip.unlink()
        server.post("/interrupt")
        client.wait(run)
        message = error_of(client.wait(answer["prompt_id"]))
        assert "changing.mp4" in message and "Expected" in message
        shutil.copy(PACK / "demo" / "clip.mp4", clip)
        assert error_of(client.run(clip_graph(video=clip.name, **SMALL))) == ""

    def test_that_changes(self, server, client, clip):
        """A file is read when the node runs, and read again if it has changed."""
        first = pixels(server, client.run(clip_graph(video=clip.name, **SMALL)))
        run = busy(server, client)
        answer = client.queue(clip_graph(video=clip.name, **SMALL))
        other_clip(clip)
        server.post("/interrupt")
        client.wait(run)
        second = pixels(server, client.wait(answer["prompt_id"]))
        assert len(first) == len(second) and not same_pictures(first, second)

    def test_that_is_cut_short(self, server, client, clip):
        run = busy(server, client)
        answer = client.queue(clip_graph(video=clip.name, **SMALL))
        clip.write_bytes(clip.read_bytes()[:500])
        server.post("/interrupt")
        client.wait(run)
        assert "changing.mp4" in error_of(client.wait(answer["prompt_id"]))


def other_clip(path):
    """Another video under the same name."""
    from tav_core.video.write import write_video

    write_video(path, np.random.default_rng(0).random((8, 64, 64, 3), dtype=np.float32), fps=8)


@pytest.mark.parametrize("cancels", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_cancels_at_moments_that_a_clock_chooses(server, client, cancels):
    """Each keeps its steps, and the motion at the end is that of an unbroken run. A busy machine, which does no step in
    the time that the clock chooses, is given more time."""
    chance, done, stopped = random.Random(0), [0], f"stopped_{cancels}"
    while len(done) <= cancels or (done[-1] == 0 and len(done) <= 4 * cancels):
        answer = client.queue(tune_graph(run_name=stopped, num_steps=ENDLESS, save_every=0))
        time.sleep(chance.uniform(0.5, 6))
        server.post("/interrupt")
        assert "execution_interrupted" in json.dumps(client.wait(answer["prompt_id"])["status"]["messages"])
        path = state_path(server, stopped)
        done.append(steps_done(path) if path.exists() else 0)
    assert done == sorted(done) and done[-1] > 0
    for name in (stopped, f"whole_{cancels}"):
        assert error_of(client.run(tune_graph(run_name=name, num_steps=done[-1] + 2))) == ""
    assert same_tensors(state_path(server, stopped), state_path(server, f"whole_{cancels}"))
    assert [path.name for path in state_path(server, "x").parent.iterdir() if path.name.startswith(".")] == []


def test_a_browser_that_closes_in_a_run(server):
    """The run continues, and its outputs are in the history."""
    leaving = server.connect()
    answer = leaving.queue(edit_graph(run_name="alone", num_steps=12, preview_every=6))
    while True:
        message = leaving.socket.recv(timeout=120)
        if not isinstance(message, bytes) and json.loads(message)["type"] == "progress":
            break
    # As a crash does it: no goodbye.
    leaving.socket.socket.close()
    after = server.connect()
    try:
        deadline = time.monotonic() + 300
        while answer["prompt_id"] not in server.get("/history") and time.monotonic() < deadline:
            time.sleep(0.5)
        done = after.history(answer["prompt_id"])
        assert error_of(done) == "" and pixels(server, done)
        assert steps_done(state_path(server, "alone")) == 12
    finally:
        after.close()


def test_models_freed_between_prompts_and_in_the_middle(server, client):
    """An inversion that waits for its edit is there again, and so is the run that it comes from."""
    graph = edit_graph(run_name="freed", num_steps=6)
    inverted = {name: about for name, about in graph.items() if name not in ("edit", "decode", "compare", "save")}
    inverted["show"] = node("PreviewImage", images=["seen", 0])
    inverted["seen"] = node("VAEDecode", samples=["invert", 0], vae=["demo", 2])
    assert error_of(client.run(inverted)) == ""
    server.post("/free", {"unload_models": True, "free_memory": True})
    freed = []

    def free(message):
        if message["type"] == "progress" and message["data"]["node"] in ("invert", "edit"):
            freed.append(server.post("/free", {"unload_models": True, "free_memory": True}))

    done = client.run(graph, on_message=free)
    assert error_of(done) == "" and freed
    plain = client.run(edit_graph(run_name="not freed", num_steps=6))
    assert same_pictures(saved(server, done), saved(server, plain))


def saved(server, done):
    return pixels(server, {"outputs": {"save": done["outputs"]["save"]}})


def test_two_prompts_of_one_run_name(server, client):
    """Queued together, they run in turn: the second continues where the first ended; one on another clip is refused."""
    answers = [client.queue(tune_graph(run_name="twice", num_steps=steps)) for steps in (3, 5)]
    other = client.queue(tune_graph(run_name="twice", num_steps=5, tune_seed=34))
    assert [error_of(client.wait(answer["prompt_id"])) for answer in answers] == ["", ""]
    assert "its seed is not the one asked for (33, and asked for is 34)" in error_of(client.wait(other["prompt_id"]))
    assert error_of(client.run(tune_graph(run_name="once", num_steps=5))) == ""
    assert same_tensors(state_path(server, "twice"), state_path(server, "once"))


def test_a_motion_overwritten_under_a_cached_node(server, client):
    """In place and cut short, as cp does it while it copies: the server lives."""
    assert error_of(client.run(tune_graph(run_name="precious", num_steps=2))) == ""
    keep = {"name": "exact", "precision": "fp32", "overwrite": True}
    loaded = motion_graph("precious.safetensors")
    assert error_of(client.run({**loaded, "keep": node("TAVSaveMotion", motion=["load", 0], **keep)})) == ""
    graph = motion_graph("exact.safetensors")
    first = pixels(server, client.run(graph))
    run = busy(server, client)
    answer = client.queue(graph)
    whole = motion_path(server, "exact").read_bytes()
    motion_path(server, "exact").write_bytes(whole[:1000])
    server.post("/interrupt")
    client.wait(run)
    assert "exact.safetensors" in error_of(client.wait(answer["prompt_id"]))
    motion_path(server, "exact").write_bytes(whole)
    assert same_pictures(first, pixels(server, client.run(graph)))


def test_a_server_that_is_killed(comfyui, server, client, tmp_path):
    """kill -9 in the middle of a run; the next server continues from the last save, as if nothing had happened."""
    victim = Server(*comfyui, tmp_path).wait_ready()
    try:
        other = victim.connect()
        other.queue(tune_graph(run_name="killed", num_steps=ENDLESS, save_every=1))
        path = state_path(victim, "killed")
        deadline = time.monotonic() + 300
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        victim.process.kill()
        victim.process.wait()
    reached = steps_done(path)
    assert 0 < reached < ENDLESS
    shutil.copy(path, state_path(server, "killed"))
    client.messages.clear()
    for name in ("killed", "unkilled"):
        assert error_of(client.run(tune_graph(run_name=name, num_steps=reached + 2))) == ""
    assert same_tensors(state_path(server, "killed"), state_path(server, "unkilled"))
