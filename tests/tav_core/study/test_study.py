"""A study from its videos to its tally: pairs, the page in a real browser, the server, and the counts."""

from __future__ import annotations

import csv
import json
import re
import threading
import time
from collections import Counter
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from tav_core.cli.main import main
from tav_core.errors import ConfigError, InputError
from tav_core.study.page import COLUMNS, write_study
from tav_core.study.pairs import find_pairs
from tav_core.study.server import StudyServer
from tav_core.study.tally import count_answers, read_answers, read_key, wilson
from tav_core.video.write import write_video
from tests.chromium import browser  # noqa: F401

HOSTILE = "</script><script>alert(1)</script> \" ' & <b>"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two methods' videos of three edits, and one more of the second."""
    place = tmp_path_factory.mktemp("methods")
    for method, level in (("ours", 0.2), ("theirs", 0.8)):
        for name in ("cat", "car", "sub/bear"):
            write_video(place / method / f"{name}.mp4", np.full((4, 32, 32, 3), level, np.float32), fps=8)
    write_video(place / "theirs" / "extra.mp4", np.zeros((4, 32, 32, 3), np.float32), fps=8)
    (place / "ours" / "prompts.json").write_text(json.dumps({"cat.mp4": HOSTILE, "car.mp4": "a red car"}))
    return place


@pytest.fixture(scope="module")
def study(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "study.html"
    return write_study(out, find_pairs(folders / "ours", folders / "theirs"), labels=("ours", "theirs"))


def test_pairs_are_what_both_have(folders, tmp_path):
    pairs = find_pairs(folders / "ours", folders / "theirs")
    assert [(pair.name, pair.prompt) for pair in pairs] == [("car", "a red car"), ("cat", HOSTILE), ("sub/bear", "")]
    with pytest.raises(InputError, match="without a video"):
        find_pairs(folders / "ours", tmp_path)
    write_video(tmp_path / "other.mp4", np.zeros((2, 16, 16, 3), np.uint8), fps=8)
    with pytest.raises(InputError, match="no edit that is both"):
        find_pairs(folders / "ours", tmp_path)


def test_batches_are_paired_by_their_results(folders, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        rows = "job,type,edit,video\ncat-1,style,a cat,v.mp4\ncar-1,style,a car,\n"
        (tmp_path / name / "results.csv").write_text(rows)
        (tmp_path / name / "v.mp4").write_bytes((folders / "ours" / "cat.mp4").read_bytes())
    (pair,) = find_pairs(tmp_path / "one", tmp_path / "two")
    assert (pair.name, pair.prompt) == ("cat-1/style", "a cat")


def test_what_a_folder_may_hold(folders, tmp_path):
    """Tables whose videos are gone, endings in capitals, what macOS leaves, and files of the same name."""
    video = (folders / "ours" / "cat.mp4").read_bytes()
    for name in ("CAT.MP4", "._CAT.MP4"):
        (tmp_path / name).write_bytes(video)
    (pair,) = find_pairs(tmp_path, tmp_path)
    assert pair.name == "CAT" and write_study(tmp_path / "s.html", [pair], labels=("a", "b"))[0].is_file()
    (tmp_path / "results.csv").write_text("job,type,edit,video\ncat-1,style,a cat,gone.mp4\n")
    with pytest.raises(InputError, match="without a video"):
        find_pairs(tmp_path, tmp_path)
    (tmp_path / "results.csv").write_text("name,video\nx,CAT.MP4\n")
    with pytest.raises(InputError, match="no table of a batch"):
        find_pairs(tmp_path, tmp_path)
    (tmp_path / "results.csv").unlink()
    (tmp_path / "prompts.json").write_text("[1]")
    with pytest.raises(InputError, match="no JSON of names"):
        find_pairs(tmp_path, tmp_path)


def test_two_methods_of_one_name_are_refused(folders, tmp_path, capsys):
    same = ["--a", str(folders / "ours"), "--b", str(folders / "theirs" / ".." / "ours")]
    assert main(["study", "page", *same, "--out", str(tmp_path / "s.html")]) != 0
    assert "both called 'ours'" in capsys.readouterr().err
    assert main(["study", "page", *same, "--label-b", "new", "--limit", "-1", "--out", str(tmp_path / "s.html")]) != 0
    assert "--limit -1" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_the_page_is_blind_and_loads_nothing(study, folders):
    page, key = study
    text = page.read_text()
    assert (
        "ours" not in text
        and "theirs" not in text
        and "cat" not in re.sub(r"base64,[^\"]*", "", text).split("data")[-1]
    )
    assert json.loads(key.read_text())["pairs"] == ["car", "cat", "sub/bear"]
    assert text.count("<script>alert") == 0 and "src=" not in text


@pytest.fixture
def open_study(browser, study):  # noqa: F811
    """Opens the page at an address, in a browser that remembers nothing."""
    contexts = []

    def open_one(address):
        context = browser.new_context(accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda told: page.errors.append(told.text) if told.type == "error" else None)
        page.goto(address)
        return page

    yield open_one
    for context in contexts:
        context.close()


def rows_in(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def wait_for(page, expression):
    """Waits until an expression is true. The page's policy forbids the polling of `page.wait_for_function`, which works
    only where it need not wait."""
    deadline = time.monotonic() + 30
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)


def test_a_person_answers_with_the_keyboard_and_saves(open_study, study, tmp_path):
    page = open_study(study[0].as_uri())
    page.fill("#who", "p 1")
    page.click("#start")
    shown = []
    for number in range(6):
        assert page.inner_text("#place") == f"Question {number + 1} of 6"
        wait_for(page, "document.querySelector('#video-left').readyState > 1")
        shown.append(page.inner_text("#prompt") if page.is_visible("#prompt") else "")
        page.keyboard.press("1" if number % 2 else "ArrowRight")
    # The text stands with the second question alone, and as text.
    assert sorted(shown) == sorted(["", "", "", "", HOSTILE, "a red car"])
    assert "download" in page.inner_text("#sent")
    with page.expect_download() as told:
        page.click("#save")
    path = tmp_path / told.value.suggested_filename
    told.value.save_as(path)
    rows = rows_in(path)
    assert len(rows) == 6 and tuple(rows[0]) == COLUMNS and {row["participant"] for row in rows} == {"p 1"}
    assert Counter(row["choice"] for row in rows) == {"left": 3, "right": 3}
    for row in rows:
        other = {"a": "b", "b": "a"}[row["left"]]
        assert row["winner"] == (row["left"] if row["choice"] == "left" else other)
    key = read_key(study[1])
    assert len(read_answers([path], key)) == 6
    assert not page.errors


def test_the_left_video_is_the_one_that_is_said(open_study, study):
    """By its picture: the first method's videos are dark."""
    page = open_study(study[0].as_uri())
    page.click("#start")
    wait_for(page, "document.querySelector('#video-left').readyState > 1")
    level = page.evaluate("""() => {
        const canvas = document.createElement('canvas'), context = canvas.getContext('2d');
        context.drawImage(document.querySelector('#video-left'), 0, 0, 8, 8);
        return context.getImageData(4, 4, 1, 1).data[0];
    }""")
    page.keyboard.press("1")
    answer = page.evaluate("state.answers[0]")
    assert answer[4] == ("a" if level < 128 else "b") == answer[6]


def test_one_goes_back_and_goes_on_later(open_study, study):
    page = open_study(study[0].as_uri())
    page.click("#start")
    page.click("#left")
    page.keyboard.press("2")
    page.keyboard.press("Backspace")
    assert page.inner_text("#place").startswith("Question 2")
    page.keyboard.press("1")
    first = page.evaluate("state.answers.map(row => row[5])")
    assert first == ["left", "left"]
    page.reload()
    assert page.inner_text("#start") == "Go on"
    page.click("#start")
    assert page.inner_text("#place").startswith("Question 3")


def test_another_person_at_the_same_machine_begins_anew(open_study, study):
    page = open_study(study[0].as_uri())
    page.fill("#who", "first")
    page.click("#start")
    page.keyboard.press("1")
    page.reload()
    page.fill("#who", "second")
    assert page.inner_text("#start") == "Begin"
    page.click("#start")
    page.keyboard.press("2")
    assert page.evaluate("state.answers.map(row => [row[1], row[5]])") == [["second", "right"]]
    assert not page.errors


def test_answers_are_posted_to_the_server(open_study, study, tmp_path):
    with StudyServer(study[0], tmp_path / "answers") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = open_study(server.address)
        page.fill("#who", "p2")
        page.click("#start")
        for _ in range(6):
            page.keyboard.press("2")
        wait_for(page, "document.querySelector('#sent').textContent.includes('were sent')")
        assert not page.errors
        (path,) = (tmp_path / "answers").iterdir()
        assert len(rows_in(path)) == 6
        for bad in (b"x,y\n1,2\n", b""):
            with pytest.raises(HTTPError):
                urlopen(Request(f"{server.address}answers", data=bad, method="POST"))
        with pytest.raises(HTTPError):
            urlopen(f"{server.address}../secret")
        with pytest.raises(ConfigError, match="cannot listen"):
            StudyServer(study[0], tmp_path, port=server.server_address[1])
        server.shutdown()
    assert len(list((tmp_path / "answers").iterdir())) == 1


def write_answers(path, key, people, winners):
    lines = [",".join(COLUMNS)]
    for person in range(people):
        for pair, winner in enumerate(winners):
            lines.append(f"{key['study']},p{person},{pair},consistency,a,left,{winner},1.0,2025-01-01T00:00:0{pair}Z")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_tally(study, tmp_path, capsys):
    key = read_key(study[1])
    path = write_answers(tmp_path / "a.csv", key, 10, "aab")
    (tally,) = count_answers(read_answers([path], key))
    assert (tally.a, tally.b, tally.people) == (20, 10, 10)
    assert main(["study", "tally", str(study[1]), str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "consistency: 30 answers of 10 people" in told and "ours  66.7%  (95 % interval 48.8% to 80.8%)" in told
    # The last answer to a question counts.
    path.write_text(path.read_text() + f"{key['study']},p0,0,consistency,a,left,b,1.0,2025-01-02T00:00:00Z\n")
    assert count_answers(read_answers([path], key))[0].a == 19
    path.write_text(path.read_text().replace(key["study"], "another"))
    with pytest.raises(InputError, match="whose study is 'another'"):
        read_answers([path], key)
    with pytest.raises(InputError, match="no key of a study"):
        read_key(path)


def test_of_two_files_of_one_person_the_later_answer_counts(study, tmp_path):
    """The file that was named last counted; a server names files at random."""
    key = read_key(study[1])
    older = write_answers(tmp_path / "z.csv", key, 1, "a")
    later = write_answers(tmp_path / "b.csv", key, 1, "b")
    later.write_text(later.read_text().replace("2025-01-01T00", "2025-01-01T15"))
    for files in ([older, later], [later, older]):
        assert [row["winner"] for row in read_answers(files, key)] == ["b"]
    # A row that was cut off before its time is the oldest.
    older.write_text(older.read_text().replace(",2025-01-01T00:00:00Z", ""))
    assert [row["winner"] for row in read_answers([later, older], key)] == ["b"]


def test_the_interval_is_wilsons():
    """Against the inversion of the score test that defines it: the shares that are z standard errors away."""
    for wins, total in ((0, 5), (5, 5), (3, 7), (40, 100)):
        low, high = wilson(wins, total)
        for bound in (low, high):
            if 0 < bound < 1:
                assert abs(wins / total - bound) == pytest.approx(1.959964 * (bound * (1 - bound) / total) ** 0.5)
        assert 0 <= low <= wins / total <= high <= 1
