"""kill -9: at random moments of a tuning run, and in the middle of each kind of write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "kill_runs.py"
WRITES = [
    f"{when}{ending}"
    for when in ("die_before_rename", "die_half_written")
    for ending in (".safetensors", ".mp4", ".gif", ".html")
]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


def kill(folder, kills, seed):
    command = [sys.executable, SCRIPT, folder, str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[0].removeprefix("FOUND "))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What three kills of a run, and one in each kind of write, left."""
    return kill(tmp_path_factory.mktemp("kills"), 3, seed=1)


def check_runs(found, kills):
    runs = found["random"]
    assert runs["kills"] == kills
    assert all(gained >= 0 for gained in runs["gained"]), "what was saved is never lost"
    assert 0 < runs["reached"] < runs["num_steps"]
    assert runs["equal"], "losses, weights and moments of the unbroken run, bit for bit"
    assert runs["left"] == ["state.safetensors"]


def test_runs_killed_at_random_go_on_as_if_unbroken(found):
    check_runs(found, 3)


@pytest.mark.slow
def test_runs_killed_fifty_times(tmp_path):
    runs = kill(tmp_path, 50, seed=2)
    print(json.dumps(runs["random"]))
    check_runs(runs, 50)


@pytest.mark.parametrize("write", WRITES)
def test_a_killed_write_leaves_the_old_file(found, write):
    about = found[write]
    assert about["status"] == -9, "it was killed where it should be"
    assert about["kept"], "the old file is whole"
    assert about["again"] == 0 and about["changed"]
    assert len(about["left"]) == 1, "what the kill left is gone with the next write"
