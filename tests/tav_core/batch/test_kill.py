"""kill -9 at every stage of a job: the same command goes on, and the results are those of an unbroken run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "kill_batches.py"
STAGES = ("tune", "invert", "edit one", "scores two")
MOMENTS = [f"{when} {stage}" for when in ("before", "after") for stage in STAGES]
MOMENTS += ["in tuning", "in motion.safetensors", "in one.mp4", "in stages.json"]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it forks, and asks /proc for names")


@pytest.fixture(scope="module")
def found(place, tmp_path_factory):
    command = [sys.executable, SCRIPT, place / "model", place / "cat.mp4", tmp_path_factory.mktemp("kills")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[0].removeprefix("FOUND "))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_batch_goes_on_to_the_same_bytes(found, moment):
    about = found[moment]
    assert about["status"] == -9, "it was killed where it should be"
    assert about["again"] == 0 and about["files"] == 7
    assert about["equal"]
