"""Measure Video and Report on a real server, with tiny CLIP and DINO weights in its model folders."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.comfyui.graphs import changed, node, tune_graph
from tests.comfyui.server import error_of
from tests.comfyui.test_wrong_inputs import message_of
from tests.tav_core.metrics.tiny_judges import make_clip, make_dino, save_clip

SCRIPT = Path(__file__).parent / "metrics_checks.py"
MARK = "RESULTS "
MEASURE = {
    "prompt": "a bear",
    "clip_model": "clip_vision/tiny_clip",
    "dino_model": "diffusers/tiny_dino",
    "pairs": "all",
    "motion": True,
}
ALONE = {"prompt": "", "clip_model": "none", "dino_model": "none", "pairs": "all", "motion": False}
LABELS = {"label_a": "source", "label_b": "<b>edit</b>", "label_c": "", "label_d": ""}
PAGE = {**LABELS, "fps": 8.0, "name": "page", "run_name": ""}


@pytest.fixture(scope="module")
def judges(server):
    """CLIP and DINO where users put them: folders, and CLIP as a single file too."""
    folders = {name: server.base / "models" / kind for kind, name in (("clip_vision", "clip"), ("diffusers", "dino"))}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    clip = folders["clip"] / "tiny_clip"
    save_clip(make_clip(), clip)
    make_dino().save_pretrained(folders["dino"] / "tiny_dino")
    (folders["clip"] / "tiny.safetensors").write_bytes((clip / "model.safetensors").read_bytes())
    return clip


@pytest.fixture
def client(server, judges):
    client = server.connect()
    yield client
    client.close()


def measure_graph(**changes):
    """The demo's clip, and a cut of it as if it were an edit, measured."""
    links = {"frames": ["cut", 0], "source": ["demo", 3]}
    return {
        "demo": node("TAVLoadDemoModel"),
        "cut": node("ImageScale", image=["demo", 3], upscale_method="area", width=96, height=64, crop="center"),
        "measure": node("TAVMeasureVideo", **{**links, **MEASURE, **changes}),
    }


def scores_of(done):
    """The scores that a node showed."""
    (text,) = done["outputs"]["measure"]["text"]
    return {name: float(value) for name, value in re.findall(r"^(.+?)  +(\S+)$", text, re.MULTILINE)}


def test_every_score_of_the_demo_clip(client):
    done = client.run(measure_graph())
    assert error_of(done) == ""
    scores = scores_of(done)
    assert len(scores) == 10
    assert 0 < scores["CLIP frame consistency"] <= 100 and 0 < scores["DINO likeness to the source"] < 100
    assert 0 < scores["warp error"] < 0.2 and scores["mean motion, pixels per frame"] > 0.5


def test_the_text_stands_on_the_node(client):
    client.run(measure_graph(**ALONE))
    assert any(b"second difference" in message for message in client.previews)


def test_a_single_file_gives_the_scores_of_its_folder(client):
    folder = client.run(measure_graph(motion=False))
    file = client.run(measure_graph(motion=False, clip_model="clip_vision/tiny.safetensors"))
    assert error_of(file) == ""
    assert scores_of(file) == scores_of(folder)


def test_the_lists_offer_what_fits(server, judges):
    inputs = server.get("/object_info/TAVMeasureVideo")["TAVMeasureVideo"]["input"]["required"]
    offered = {name: inputs[name][1]["options"] for name in ("clip_model", "dino_model")}
    expected = [
        "none",
        "clip_vision/tiny_clip",
        "clip_vision/tiny.safetensors",
        "clip_vision/tiny_clip/model.safetensors",
    ]
    assert sorted(offered["clip_model"]) == sorted(expected)
    assert offered["dino_model"] == ["none", "diffusers/tiny_dino"]


def test_a_report_holds_videos_scores_losses_and_settings(server, client):
    graph = {**measure_graph(), **tune_graph(run_name="reported", num_steps=2)}
    videos = {"video_a": ["demo", 3], "video_b": ["cut", 0], "scores_b": ["measure", 0], "motion": ["tune", 0]}
    graph["report"] = node("TAVReport", **{**PAGE, **videos, "run_name": "reported"})
    done = client.run(graph)
    assert error_of(done) == ""
    path = server.base / "output" / "tav_reports" / "page.html"
    assert done["outputs"]["report"]["text"] == [str(path)]
    page = path.read_text(encoding="utf-8")
    assert page.count("data:video/mp4;base64,") == 2
    assert "&lt;b&gt;edit&lt;/b&gt;" in page and "<b>" not in page
    assert "2 steps, and their running mean" in page and "a bear is running in the snow" in page
    assert "DINO likeness to the source" in page and "config.learning_rate" in page


def report_graph(**changes):
    """A page of the demo's clip alone."""
    report = node("TAVReport", **{**PAGE, "video_a": ["demo", 3], **changes})
    return {"demo": node("TAVLoadDemoModel"), "report": report}


WRONG = {
    "a prompt without CLIP": (measure_graph(clip_model="none"), ("a prompt and clip_model 'none'", "CLIP_VISION")),
    "another number of frames": (
        {
            **changed(measure_graph(**ALONE), "measure", source=["fewer", 0]),
            "fewer": node("ImageFromBatch", image=["demo", 3], batch_index=0, length=4),
        },
        ("a source of 4 frames for a video of 8",),
    ),
    "a path as a name": (report_graph(name="../../evil"), ("../../evil", "without folders")),
    "no such run": (report_graph(run_name="gone"), ("run_name 'gone'", "One-Shot Tune")),
    "scores without a video": (
        {**measure_graph(**ALONE), **report_graph(scores_c=["measure", 0])},
        ("scores_c without video_c",),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_message_names_what_is_wrong(client, case):
    graph, words = WRONG[case]
    message = message_of(client, graph)
    assert words and all(word in message for word in words), message


def test_weights_that_are_not_in_the_list_are_refused(server, client):
    answer = client.queue(measure_graph(clip_model="clip_vision/../../../etc"))
    assert "clip_model" in json.dumps(answer["node_errors"])


def test_cores_clip_vision_is_the_librarys_clip(comfyui, judges):
    environment = {
        **os.environ,
        "COMFYUI_PATH": str(comfyui.path),
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [comfyui.python, SCRIPT, judges]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    found = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    assert found, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    results = json.loads(found[0].removeprefix(MARK))
    assert len(results) == 3
    for worst, theirs, ours in results.values():
        assert worst > 0.9999
        assert theirs == pytest.approx(ours, abs=0.01)
