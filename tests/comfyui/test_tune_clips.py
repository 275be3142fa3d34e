"""Tune Several Clips in a real ComfyUI: one motion and the looks as LoRAs, cancelling, resuming, wrong inputs."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from tav_core.tuning.motion import Motion
from tests.comfyui.graphs import EDITED, OPTIONS, SOURCE, TUNE, Graph, changed, edit_graph, node, text
from tests.comfyui.pictures import show
from tests.comfyui.server import error_of
from tests.comfyui.test_tuning import progress_of
from tests.comfyui.tune_files import steps_done

INVERTED = "the colours of a bear in the snow are inverted"


@pytest.fixture
def client(server):
    client = server.connect()
    yield client
    client.close()


def clips_graph(**changes) -> Graph:
    """The demo's clip, and the same with inverted colours: one motion, two looks."""
    links = {"model": ["demo", 0], "vae": ["demo", 2], "frames_a": ["demo", 3], "frames_b": ["other", 0]}
    prompts = {"positive_a": ["source", 0], "positive_b": ["inverted", 0]}
    more = {"appearance_rank": 4, "low_rank_learning_rate": 5e-4}
    return {
        "demo": node("TAVLoadDemoModel"),
        "source": text(SOURCE),
        "inverted": text(INVERTED),
        "other": node("ImageInvert", image=["demo", 3]),
        "tune": node("TAVTuneClips", **{**links, **prompts, **TUNE, **more, **changes}),
    }


def files_of(server, name):
    loras = server.base / "output" / "loras"
    motion = server.base / "models" / "tav_motion" / f"{name}.safetensors"
    return [motion, *(loras / f"{name}_look_{slot}.safetensors" for slot in "ab")]


def test_a_motion_and_a_lora_for_each_look(server, client):
    graph = clips_graph(run_name="several", preview_every=2, preview_positive=["edited", 0])
    graph |= {"edited": text(EDITED), "names": node("PreviewAny", source=["tune", 2])}
    done = client.run(graph)
    assert error_of(done) == "" and progress_of(client)[-1] == (4, 4)
    assert done["outputs"]["tune"]["images"], "the loss plot stays in the node"
    motion, *looks = files_of(server, "several")
    found = Motion.load(motion)
    assert found.info.steps_done == 4 and not found.deltas and found.temporal
    assert all(load_file(path) for path in looks)
    listed = server.get("/object_info/LoraLoader")["LoraLoader"]["input"]["required"]["lora_name"]
    options = listed[1]["options"] if listed[0] == "COMBO" else listed[0]
    assert {path.name for path in looks} <= set(options)
    assert looks[0].name in json.dumps(done["outputs"]["names"])


def test_the_looks_are_ordinary_loras_and_the_motion_an_ordinary_motion(server, client):
    assert error_of(client.run(clips_graph(run_name="ordinary", num_steps=6))) == ""
    graph = edit_graph()
    graph.pop("tune")
    graph["motion"] = node("TAVLoadMotion", motion_name="ordinary.safetensors")
    graph = changed(graph, "apply", motion=["motion", 0])
    plain = show(server, graph, "decode")
    sockets = {"model": ["demo", 0], "clip": ["demo", 1], "lora_name": "ordinary_look_b.safetensors"}
    graph["look"] = node("LoraLoader", **sockets, strength_model=20.0, strength_clip=0.0)
    before = len(server.log_text())
    dressed = show(server, changed(graph, "apply", model=["look", 0]), "decode")
    assert not torch.equal(plain, dressed)
    assert "lora key not loaded" not in server.log_text()[before:]


def test_a_cancelled_run_goes_on_and_ends_as_an_unbroken_one(server, client):
    state = server.base / "output" / "tav_runs" / "broken off.safetensors"

    def cancel(message):
        if message["type"] == "progress" and message["data"]["node"] == "tune" and message["data"]["value"] >= 3:
            server.post("/interrupt")

    done = client.run(clips_graph(run_name="broken off", num_steps=60, save_every=0), on_message=cancel)
    assert "execution_interrupted" in json.dumps(done["status"]["messages"])
    saved = steps_done(state)
    assert 3 <= saved < 60
    client.messages.clear()
    assert error_of(client.run(clips_graph(run_name="broken off", num_steps=saved + 2, save_every=0))) == ""
    assert progress_of(client)[0][0] > saved
    assert error_of(client.run(clips_graph(run_name="unbroken", num_steps=saved + 2, save_every=0))) == ""
    for broken, unbroken in zip(files_of(server, "broken off"), files_of(server, "unbroken"), strict=True):
        first, second = load_file(broken), load_file(unbroken)
        assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_second_queue_costs_nothing_and_other_clips_are_another_run(server, client):
    graph = clips_graph(run_name="again_clips")
    assert error_of(client.run(graph)) == ""
    client.messages.clear()
    assert error_of(client.run(graph)) == "" and progress_of(client) == []
    # A look that was deleted is written again, from the state of the run.
    look = files_of(server, "again_clips")[2]
    look.unlink()
    assert error_of(client.run(graph)) == "" and look.exists() and progress_of(client) in ([], [(4, 4)])
    swapped = changed(graph, "tune", frames_a=["other", 0], frames_b=["demo", 3])
    assert "another" in error_of(client.run(swapped)) or "not the one" in error_of(client.run(swapped))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"frames_b": ["small", 0]}, "one length and size"),
        ({"positive_c": ["source", 0]}, "positive_c without frames_c"),
        ({"options": ["options", 0]}, "modules in Tune Options"),
        ({"positive_b": ["both", 0]}, "2 prompts at positive_b"),
    ],
    ids=["sizes", "a prompt without a clip", "modules", "two prompts"],
)
def test_what_cannot_be_is_refused(client, changes, told):
    graph = clips_graph(run_name="refused", **changes)
    graph |= {
        "small": node("ImageScale", image=["demo", 3], upscale_method="area", width=64, height=64, crop="disabled"),
        "options": node("TAVTuneOptions", **{**OPTIONS, "modules": "queries only"}),
        "both": node("ConditioningCombine", conditioning_1=["source", 0], conditioning_2=["inverted", 0]),
    }
    assert told in error_of(client.run(graph))


def test_a_single_picture_is_refused_when_it_is_queued(client):
    graph = clips_graph(run_name="picture", frames_b=["one", 0])
    graph["one"] = node("EmptyImage", width=64, height=64, batch_size=1, color=0)
    assert "one frame" in json.dumps(client.queue(graph))
