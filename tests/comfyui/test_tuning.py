"""One-Shot Tune in a real ComfyUI: its cockpit, cancelling, resuming, and what a second queue costs."""

from __future__ import annotations

import io
import itertools
import json

import pytest
import torch
from PIL import Image

from tav_core.errors import ConfigError
from tav_core.sampling.presets import PRESETS
from tav_core.tensor_files import load_tensors
from tav_core.tuning.motion import Motion
from tests.comfyui.graphs import EDITED, OPTIONS, SOURCE, changed, edit_graph, node, text, tune_graph
from tests.comfyui.server import error_of
from tests.comfyui.test_wrong_inputs import message_of
from tests.comfyui.tune_files import steps_done
from tests.tav_core.metrics.tiny_judges import make_clip, save_clip

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


def test_the_terminal_shows_a_bar_of_tuning_inversion_and_edit(server, client):
    before = len(server.log_text())
    assert error_of(client.run(edit_graph(run_name="terminal", num_steps=3))) == ""
    told = server.log_text()[before:]
    for name, last in (("Tune", "3/3"), ("Invert", "3/3"), ("Edit", "3/3")):
        assert f"{name}: 100%" in told and f"| {last} [" in told[told.index(f"{name}: 100%") :]
    assert "loss=" in told


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


def test_a_motion_to_start_from_comes_back_bit_for_bit_after_no_steps_and_is_gone_on_from(server, client):
    motions = server.base / "models" / "tav_motion"
    assert error_of(client.run(tune_graph(run_name="start", num_steps=2))) == ""
    first = (motions / "start.safetensors").read_bytes()
    load = {"load": node("TAVLoadMotion", motion_name="start.safetensors")}
    for _ in range(2):
        graph = tune_graph(run_name="same", num_steps=0, start_from=["load", 0])
        assert error_of(client.run({**graph, **load})) == ""
        assert (motions / "same.safetensors").read_bytes() == first
    graph = tune_graph(run_name="further", num_steps=1, start_from=["load", 0])
    assert error_of(client.run({**graph, **load})) == ""
    further = Motion.load(motions / "further.safetensors")
    assert further.info.steps_done == 1 and further.info.config["start"]
    assert "its start is not the one asked for" in error_of(client.run(tune_graph(run_name="further", num_steps=2)))


def test_a_run_without_options_goes_on_in_the_modes_of_its_start(server, client):
    """It went on in the default modes, as only the temporal blocks were taken over."""
    motions = server.base / "models" / "tav_motion"
    options = {"options": node("TAVTuneOptions", **{**OPTIONS, "attention": "full"}, group_norm="clip")}
    assert error_of(client.run({**tune_graph(run_name="own", options=["options", 0]), **options})) == ""
    load = {"load": node("TAVLoadMotion", motion_name="own.safetensors")}
    assert error_of(client.run({**tune_graph(run_name="on", num_steps=1, start_from=["load", 0]), **load})) == ""
    own, on = (Motion.load(motions / f"{name}.safetensors").info.modes for name in ("own", "on"))
    assert on == own and own["attention"] == "full" and own["group_norm"] == "clip"


def test_fewer_steps_than_are_done_work_and_the_longer_run_is_kept(server, client):
    """A run of 2 steps, 4, and 2 again: each time the motion is that of a run of its own."""
    motion, state = server.base / "models/tav_motion/abab.safetensors", server.base / "output/tav_runs/abab.safetensors"
    written = []
    for num_steps in (2, 4, 2, 4):
        assert error_of(client.run(tune_graph(run_name="abab", num_steps=num_steps))) == ""
        assert Motion.load(motion).info.steps_done == num_steps
        written.append((num_steps, load_tensors(motion, error=ConfigError, what="motion")[0]))
    assert steps_done(state) == 4 and steps_done(state.with_name("abab (2 steps).safetensors")) == 2
    for (steps, first), (steps_again, again) in itertools.pairwise(written[::2] + written[1::2]):
        same = all(torch.equal(tensor, again[name]) for name, tensor in first.items())
        assert same == (steps == steps_again)


def test_a_motion_that_was_deleted_is_written_again_and_once(server, client):
    motion = server.base / "models" / "tav_motion" / "deleted.safetensors"
    graph = tune_graph(run_name="deleted", num_steps=2)
    assert error_of(client.run(graph)) == ""
    written = motion.read_bytes()
    for gone in (True, False, True):
        if gone:
            motion.unlink()
        client.messages.clear()
        assert error_of(client.run(graph)) == ""
        assert Motion.load(motion).info.steps_done == 2 and len(motion.read_bytes()) == len(written)
        assert bool(progress_of(client)) is False, "no step is taken again"
        ran = [m["data"]["node"] for m in client.messages if m["type"] == "executing"]
        assert ("tune" in ran) == gone


@pytest.mark.parametrize(("prompt", "noted"), [("", True), (" \n", True), (SOURCE, False)])
def test_an_empty_prompt_is_noted_and_the_run_goes_on(client, prompt, noted):
    graph = tune_graph(run_name=f"prompt {len(prompt)}", num_steps=1)
    graph["source"]["inputs"]["text"] = prompt
    assert error_of(client.run(graph)) == ""
    assert any(b"prompt at positive is empty" in message for message in client.previews) == noted


def test_the_prompt_is_noted_in_the_motion_unless_a_node_changes_it(server, client):
    graph = tune_graph(num_steps=1, run_name="noted")
    graph["words"] = node("PrimitiveString", value="a bear runs")
    graph["replaced"] = node("StringReplace", string="a X runs", find="X", replace="bear")
    for name, prompt in (("words", "a bear runs"), ("replaced", "")):
        tuned = changed(changed(graph, "source", text=[name, 0]), "tune", run_name=f"noted {name}")
        assert error_of(client.run(tuned)) == ""
        path = server.base / "models" / "tav_motion" / f"noted {name}.safetensors"
        assert Motion.load(path).info.prompt == prompt


def test_memory_modes_and_options(server, client):
    for memory in ("auto", "balanced", "low"):
        assert error_of(client.run(tune_graph(run_name=memory, memory=memory, num_steps=2))) == ""


@pytest.fixture(scope="module")
def judge(server):
    """A tiny CLIP where users put theirs."""
    folder = server.base / "models" / "clip_vision" / "tiny_judge"
    folder.parent.mkdir(exist_ok=True)
    save_clip(make_clip(), folder)
    return "clip_vision/tiny_judge"


def stopping_graph(judge, **changes):
    """A tuning that may end early."""
    links = {"preview_positive": ["edited", 0], "preview_negative": ["empty", 0], "stop_early": ["stop", 0]}
    settings = {"preview_every": 2, "num_steps": 8, **links, **changes}
    stop = {"clip_model": judge, "prompt": EDITED, "source_prompt": SOURCE, "patience": 1}
    more = {"edited": text(EDITED), "empty": text(""), "stop": node("TAVStopEarly", **stop)}
    return {**tune_graph(**settings), **more}


def test_a_run_ends_when_previews_get_no_better_and_keeps_the_best(server, client, judge):
    assert error_of(client.run(stopping_graph(judge, run_name="early"))) == ""
    state, motion = server.base / "output" / "tav_runs" / "early.safetensors", "tav_motion/early.safetensors"
    _, about = load_tensors(state, error=ConfigError, what="state")
    scores = {int(step): score for step, score in json.loads(about["scores"]).items()}
    assert list(scores) == list(range(2, 2 + 2 * len(scores), 2))
    # The rule itself: it ends at the first score that is no better, or at its end.
    values = list(scores.values())
    assert all(later > before for before, later in itertools.pairwise(values[:-1]))
    assert values[-1] <= max(values[:-1]) or list(scores)[-1] == 8
    best = max(scores, key=scores.get)
    assert Motion.load(server.base / "models" / motion).info.steps_done == best
    assert any(is_picture(message) for message in client.previews)


def is_picture(message: bytes) -> bool:
    return b"\xff\xd8" in message


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"preview_every": 0}, "preview_every"), ({"memory": "low"}, "low"), ({"preview_negative": None}, "empty prompt")],
    ids=["no previews", "low memory", "unguided"],
)
def test_previews_that_cannot_be_scored_are_refused(client, judge, changes, told):
    graph = stopping_graph(judge, run_name="refused", **changes)
    tune = graph["tune"]["inputs"]
    graph["tune"]["inputs"] = {name: value for name, value in tune.items() if value is not None}
    error = message_of(client, graph)
    assert "stop_early" in error and told in error


def test_a_judge_that_cannot_judge_is_refused(client, judge):
    for changes in ({"clip_model": "none"}, {"prompt": ""}, {"prompt": SOURCE}):
        graph = stopping_graph(judge, run_name="no_judge")
        graph["stop"]["inputs"].update(changes)
        assert "Choose a clip_model" in (error := message_of(client, graph)) or "Write the texts" in error


def test_a_preset_goes_to_the_widgets_of_other_nodes(client):
    graph = edit_graph(run_name="preset", num_steps=2)
    shares = {"attention": ["preset", 2], "features": ["preset", 3], "first_layer": 4}
    source = {"model": ["apply", 0], "trajectory": ["invert", 1], "conditioning": ["empty", 0]}
    graph |= {"preset": node("TAVEditPreset", goal="style"), "inject": node("TAVInjectSource", **source, **shares)}
    graph["edit"]["inputs"].update(model=["inject", 0], cfg=["preset", 1])
    done = client.run(graph)
    assert error_of(done) == ""
    assert done["outputs"]["preset"]["text"] == [PRESETS["style"].advice]
