"""One-Shot Tune in a real ComfyUI: its cockpit, cancelling, resuming, and what a second queue costs."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from tests.comfyui.graphs import EDITED, edit_graph, text, tune_graph
from tests.comfyui.server import error_of
from tests.comfyui.tune_files import steps_done

MOST_MESSAGES_A_SECOND = 10


@pytest.fixture
def client(server):
    client = server.connect()
    yield client
    client.close()


def progress_of(client, node="tune"):
    """(step, steps in all) of every progress message of a node."""
    found = [m["data"] for m in client.messages if m["type"] == "progress" and m["data"]["node"] == node]
    return [(data["value"], data["max"]) for data in found]


def test_the_cockpit_shows_the_curve_and_previews(server, client):
    graph = tune_graph(run_name="cockpit", num_steps=6, preview_every=3, preview_positive=["edited", 0])
    done = client.run({**graph, "edited": text(EDITED)})
    assert error_of(done) == ""
    assert progress_of(client)[-1] == (6, 6)
    shown = Image.open(io.BytesIO(jpeg_of(client.previews[-1])))
    without = Image.open(io.BytesIO(jpeg_of(client.previews[0])))
    assert shown.width == 512 and shown.height > without.height, "the preview strip stands below the curve"
    assert (server.base / "models" / "tav_motion" / "cockpit.safetensors").exists()
    assert done["outputs"]["tune"]["images"], "the loss plot stays in the node"


def jpeg_of(message: bytes) -> bytes:
    return message[message.index(b"\xff\xd8") :]


def test_progress_does_not_flood_the_socket(server, client):
    client.run(tune_graph(run_name="flood", num_steps=30))
    stamps = [m["at"] for m in client.messages if m["type"] == "progress" and m["data"]["node"] == "tune"]
    busiest = max(sum(start <= at < start + 1 for at in stamps) for start in stamps)
    assert busiest <= MOST_MESSAGES_A_SECOND


def test_cancel_saves_and_queueing_again_goes_on(server, client):
    state = server.base / "output" / "tav_runs" / "cancelled.safetensors"
    graph = tune_graph(run_name="cancelled", num_steps=60, save_every=0)

    def cancel(message):
        if message["type"] == "progress" and message["data"]["node"] == "tune" and message["data"]["value"] >= 3:
            server.post("/interrupt")

    done = client.run(graph, on_message=cancel)
    assert "execution_interrupted" in json.dumps(done["status"]["messages"])
    saved = steps_done(state)
    assert 3 <= saved < 60
    client.messages.clear()
    done = client.run(tune_graph(run_name="cancelled", num_steps=saved + 2, save_every=0))
    assert error_of(done) == ""
    assert progress_of(client)[0][0] > saved
    assert steps_done(state) == saved + 2


def test_a_second_queue_costs_nothing(server, client):
    graph = edit_graph(run_name="second")
    assert error_of(client.run(graph)) == ""
    client.messages.clear()
    done = client.run(graph)
    assert error_of(done) == ""
    assert progress_of(client) == [], "the tuning is not run again"


def test_restart_begins_anew_and_new_refuses(server, client):
    assert error_of(client.run(tune_graph(run_name="again"))) == ""
    client.messages.clear()
    assert error_of(client.run(tune_graph(run_name="again", resume="restart"))) == ""
    assert progress_of(client)[0][0] == 1
    assert "restart" in error_of(client.run(tune_graph(run_name="again", resume="new")))


def test_memory_modes_and_options(server, client):
    for memory in ("auto", "balanced", "low"):
        assert error_of(client.run(tune_graph(run_name=memory, memory=memory, num_steps=2))) == ""
