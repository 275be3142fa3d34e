"""Mark Video in a real ComfyUI: the mark is in what core's Save Video writes, or the node says what is missing."""

from __future__ import annotations

import subprocess

import pytest

from tav_core.cli.info import describe_video
from tests.comfyui.graphs import node
from tests.comfyui.server import error_of


@pytest.fixture
def client(server):
    client = server.connect()
    yield client
    client.close()


def graph(side, text="take 7"):
    scale = {"upscale_method": "bicubic", "width": side, "height": side, "crop": "disabled"}
    return {
        "demo": node("TAVLoadDemoModel"),
        "scale": node("ImageScale", image=["demo", 3], **scale),
        "mark": node("TAVMarkVideo", frames=["scale", 0], text=text),
        "video": node("CreateVideo", images=["mark", 0], fps=8.0),
        "save": node("SaveVideo", video=["video", 0], filename_prefix="marked", format="auto", codec="auto"),
    }


def test_the_mark_is_in_what_core_saves(comfyui, server, client):
    there = subprocess.run([comfyui.python, "-c", "import imwatermark"], capture_output=True).returncode == 0
    told = error_of(client.run(graph(384)))
    if not there:
        assert "pip install invisible-watermark" in told
        pytest.skip("this ComfyUI has no invisible-watermark: the refusal alone was tested")
    assert told == ""
    pytest.importorskip("imwatermark", reason="reading the mark needs invisible-watermark")
    about = describe_video(max((server.base / "output").glob("marked*.mp4")))
    assert about["watermark"] == "take 7" and about["workflow"]
    assert "128x128" in error_of(client.run(graph(128)))


def test_a_text_that_is_too_long_is_refused(client):
    assert "a watermark of 13 bytes" in error_of(client.run(graph(384, text="thirteen byte")))
