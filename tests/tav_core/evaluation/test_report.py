"""The report's page: it is self-contained, its videos play, and no text from outside is interpreted."""

from __future__ import annotations

import base64
import errno
import os
import re
from html.parser import HTMLParser

import pytest
import torch

from tav_core.errors import ConfigError, InputError, OutputError
from tav_core.evaluation.report import ReportVideo, encode_video, write_report
from tav_core.metrics.measure import VideoScores
from tav_core.video.clip import read_clip

HOSTILE = '</td><script>alert(1)</script><img src=x onerror="alert(1)">\' & "'
ALLOWED = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "figure", "figcaption", "video"}
ALLOWED |= {"table", "tr", "th", "td", "br", "span", "i", "footer", "svg", "g", "rect", "text", "polyline", "circle"}


class Reader(HTMLParser):
    """The elements of a page, its texts and what it refers to."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self.addresses, self.depth = [], [], [], 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.addresses += [value for name, value in attributes if name in ("src", "href", "data", "poster", "action")]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def frames():
    # Grey, because yuv420p halves the size of colours.
    return (torch.rand((5, 32, 48, 1), generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4).expand(-1, -1, -1, 3)


def scores(**values):
    curves = {"warp_error": (0.1, 0.2, float("nan"), 0.3), "second_difference": (0.2, 0.1, 0.3)}
    return VideoScores(values={"warp_error": 0.2, "second_difference": 0.2, **values}, curves=curves)


@pytest.fixture
def page(frames, tmp_path):
    videos = [
        ReportVideo(label="source", frames=frames),
        ReportVideo(label=HOSTILE, frames=frames.flip(2), scores=scores(clip_text=25.126)),
        ReportVideo(label="other", frames=frames, scores=scores(warp_error=float("nan"), clip_text=31.0)),
    ]
    settings = {HOSTILE: {HOSTILE: HOSTILE, "config": {"betas": (0.9, 0.999)}}}
    path = tmp_path / "sub" / "report.html"
    losses = [0.5, 0.4, float("nan"), 0.3]
    assert write_report(path, videos, fps=8, losses=losses, settings=settings, title=HOSTILE) == path
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_nothing_is_loaded_and_nothing_runs(page):
    read = Reader(page)
    assert {tag for tag, _ in read.elements} <= ALLOWED
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    assert len(read.addresses) == 3
    assert all(address.startswith("data:video/mp4;base64,") for address in read.addresses)
    assert not re.findall(r"https?:|url\(|@import", page)
    (policy,) = [a["content"] for tag, a in read.elements if tag == "meta" and "http-equiv" in a]
    assert "default-src 'none'" in policy and "script" not in policy


def test_what_was_given_is_shown_as_text(page):
    shown = "".join(Reader(page).texts)
    # Title twice, label in the figure, the table, the key and each chart, heading, name and value.
    assert shown.count(HOSTILE) >= 8
    assert "config.betas" in shown and "0.9, 0.999" in shown


def test_the_videos_are_those_given(page, frames, tmp_path):
    for address, expected in zip(Reader(page).addresses, (frames, frames.flip(2), frames), strict=True):
        (tmp_path / "video.mp4").write_bytes(base64.b64decode(address.partition(",")[2]))
        clip = read_clip(tmp_path / "video.mp4", num_frames=5, width=48, height=32)
        assert clip.fps == 8
        assert (clip.frames - expected).abs().mean() < 0.01


def test_the_table_has_the_scores_and_marks_the_best(page):
    cells = re.findall(r'<td class="(number[^"]*)">([^<]*)</td>', page)
    assert cells == [
        ("number", "25.13"),
        ("number best", "31.00"),
        ("number", "0.2000"),
        ("number", "–"),
        ("number best", "0.2000"),
        ("number best", "0.2000"),
    ]


def test_there_is_a_chart_for_each_curve_and_the_losses(page):
    tags = [tag for tag, _ in Reader(page).elements]
    assert tags.count("svg") == 3


def test_a_page_of_videos_alone(frames, tmp_path):
    pixels = frames.mul(255).to(torch.uint8)
    page = write_report(tmp_path / "a.html", [ReportVideo(label="a", frames=pixels)], fps=12).read_text()
    assert "<table>" not in page and "<svg" not in page


def test_each_video_plays_at_its_own_speed(frames, tmp_path):
    """All played at the first one's: an interpolated video four times too slow."""
    videos = [ReportVideo(label="a", frames=frames), ReportVideo(label="b", frames=frames, fps=32)]
    page = write_report(tmp_path / "a.html", videos, fps=8).read_text()
    rates = []
    for number, data in enumerate(re.findall(r"data:video/mp4;base64,([^\"]+)", page)):
        (tmp_path / f"{number}.mp4").write_bytes(base64.b64decode(data))
        rates.append(read_clip(tmp_path / f"{number}.mp4", num_frames=2, width=32, height=32).fps)
    assert rates == [8, 32]


def test_without_an_h264_encoder_it_is_an_animated_picture(frames):
    kind, data = encode_video(frames, 8, encoders=())
    assert kind == "image/webp"
    assert data[8:12] == b"WEBP"


class TestErrors:
    """Nothing is left behind, and the old page stays."""

    def test_no_videos(self, tmp_path):
        with pytest.raises(ConfigError, match="no videos"):
            write_report(tmp_path / "a.html", [], fps=8)

    def test_bad_frames_and_rates(self, frames, tmp_path):
        with pytest.raises(InputError):
            write_report(tmp_path / "a.html", [ReportVideo(label="a", frames=frames[..., :2])], fps=8)
        with pytest.raises(ConfigError, match="frames per second"):
            write_report(tmp_path / "a.html", [ReportVideo(label="a", frames=frames)], fps=0)
        assert not list(tmp_path.iterdir())

    def test_no_space(self, frames, tmp_path, monkeypatch):
        (tmp_path / "a.html").write_text("old")

        def full(*args):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("pathlib.Path.replace", full)
        monkeypatch.setattr("tav_core.evaluation.report.encode_video", lambda *args: ("video/mp4", b""))
        with pytest.raises(OutputError, match="no space left"):
            write_report(tmp_path / "a.html", [ReportVideo(label="a", frames=frames)], fps=8)
        assert [file.name for file in tmp_path.iterdir()] == ["a.html"]
        assert (tmp_path / "a.html").read_text() == "old"
