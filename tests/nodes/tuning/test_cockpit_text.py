"""nodes/tuning/cockpit_text.py: the words for each state of a run. Loaded by itself: the package needs ComfyUI."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[3] / "nodes" / "tuning" / "cockpit_text.py"


@pytest.fixture(scope="module")
def text():
    spec = importlib.util.spec_from_file_location("cockpit_text_alone", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_state_in_words(text):
    assert text.describe_step(3, 25, seconds_left=65.9, memory="memory 1.0 GiB") == (
        "step 3 of 25, 00:01:05 left, memory 1.0 GiB"
    )
    assert text.describe_preview(20, 25, done=7, total=20) == "step 20 of 25: rendering a preview, 7 of 20"
    assert text.describe_resume(25) == ("resumed at step 25",) and text.describe_resume(0) == ()
    told = text.describe_estimate("about 5 minutes on NVIDIA H100", previews=True)
    assert told == "steps and previews will take about 5 minutes on NVIDIA H100"
    assert text.describe_estimate("about 5 minutes on it", previews=False).startswith("all steps will take about 5")
    assert text.describe_stop(25) == "stopped at step 25 and saved; press Run to go on"
    assert text.describe_stop(0) == "stopped before a step was done; press Run to go on"
    # The next Run would throw the steps away, or be refused.
    for resume in ("restart", "new"):
        told = text.describe_stop(25, resume)
        assert told == "stopped at step 25 and saved; set resume to continue, then press Run to go on"
        assert text.describe_stop(0, resume) == text.describe_stop(0)
    assert text.describe_end(25, 25, best=None) == "done: 25 steps"
    assert text.describe_end(6, 25, best=4) == "stopped early at step 6 of 25, the motion is that of step 4"


def test_a_run_done_earlier_says_what_is_not_used(text):
    assert text.describe_earlier(25, {}) == ("done earlier: 25 steps",)
    assert text.describe_earlier(25, {"learning_rate": (0.001, 0.002)}) == (
        "done earlier: 25 steps",
        "learning_rate 0.002 is not used, it was 0.001",
        "to use it, set resume to restart",
    )


@pytest.mark.parametrize(
    ("every", "after", "last", "count"),
    [(20, 0, 100, 5), (20, 20, 100, 4), (20, 19, 100, 5), (20, 99, 100, 1), (20, 100, 100, 0), (0, 3, 100, 0)],
)
def test_the_previews_that_are_left(text, every, after, last, count):
    assert text.count_multiples(every, after=after, last=last) == count


def test_the_time_left_counts_previews_at_their_own_cost(text):
    """Seen in nanopath #12 and OneTrainer #1042: after a validation or a backup, its time counted for every step."""
    left = {"steps_left": 80, "previews_left": 4}
    assert text.estimate_seconds(80.0, **left, preview=30.0) == 80 + 4 * 30
    # Before the first preview it is taken to cost ten steps.
    assert text.estimate_seconds(80.0, **left, preview=None) == 80 + 4 * 10
    assert text.estimate_seconds(0.0, steps_left=0, previews_left=0, preview=None) == 0
