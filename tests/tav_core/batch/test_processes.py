"""The executor `processes`: children with a GPU each, that die, crash and are told to end."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
import threading
import time
from collections import deque
from pathlib import Path

import pytest

from tav_core.batch.executors import processes
from tav_core.batch.executors.processes import choose_gpus, environment, run_in_processes
from tav_core.batch.executors.tasks import Slots, Task
from tests.project_files import ROOT

FAKE = """
    import json, os, sys, time, signal
    answers = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)
    print("a library prints \u6ed1")
    for line in sys.stdin:
        payload = json.loads(line)
        if payload.get("die") and not os.path.exists(payload["die"]):
            open(payload["die"], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(payload.get("sleep", 0))
        state = payload.get("state", "done")
        about = {"state": state, "failures": [], "pid": os.getpid(), "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}
        answers.write(json.dumps(about) + "\\n"); answers.flush()
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs payloads in children of a module that does nothing but what the payloads say."""
    package = tmp_path / "fake_jobs"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "worker.py").write_text(textwrap.dedent(FAKE))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    # As where the system's encoding has few letters.
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")

    def job():
        raise AssertionError("the children run jobs")

    job.__module__ = "fake_jobs.run_job"

    def start(payloads, again=lambda task, outcome: False, **slots):
        queue = deque(Task(name=str(number), payload=payload) for number, payload in enumerate(payloads))
        for task, outcome in run_in_processes(queue, job, Slots(logs=tmp_path / "logs", **slots)):
            if again(task, outcome):
                queue.append(task)
            yield task.name, outcome

    return start


def test_children_keep_their_process_and_have_a_gpu_each(run, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-x")
    found = [outcome for _, outcome in run([{"sleep": 0.2}] * 8)]
    assert {outcome["gpu"] for outcome in found} == {"3", "GPU-x"}
    assert len({outcome["pid"] for outcome in found}) == 2
    assert "a library prints" in (tmp_path / "logs" / "worker-0.log").read_text()


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        ({}, ["0", "1"]),
        ({"gpus": 0.5}, ["0", "0", "1", "1"]),
        ({"gpus": 0.4, "workers": 3}, ["0", "0", "1"]),
        ({"workers": 5}, ["0", "1", "0", "1", "0"]),
        ({"gpus": 0, "workers": 2}, [None, None]),
        ({"gpus": 0}, [None]),
    ],
)
def test_which_gpu_a_child_sees(monkeypatch, slots, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert choose_gpus(Slots(**slots)) == expected
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert set(choose_gpus(Slots(**slots))) == {None}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_child_that_dies_is_replaced_and_its_job_can_be_tried_again(run, tmp_path):
    payloads = [{"die": str(tmp_path / "died")}, {}, {}]
    found = list(run(payloads, again=lambda task, outcome: outcome["state"] == "crashed", gpus=0))
    states = [(name, outcome["state"]) for name, outcome in found]
    assert states[0] == ("0", "crashed") and ("0", "done") in states[1:] and len(states) == 4
    assert "signal 9" in found[0][1]["failures"][0]["got"]


def test_a_child_that_dies_between_two_jobs_is_replaced(run, monkeypatch):
    """Its end is told when the next one already has a job, which must not be waited for in vain."""
    found = run([{}, {"sleep": 3}], workers=1)
    _, first = next(found)
    os.kill(first["pid"], signal.SIGKILL)
    time.sleep(0.5)
    started = time.monotonic()
    (second,) = [outcome for _, outcome in found]
    assert second["state"] == "done" and second["pid"] != first["pid"] and time.monotonic() - started < 30


def test_a_job_that_crashed_gets_a_new_process(run):
    found = [outcome["pid"] for _, outcome in run([{}, {"state": "crashed"}, {}, {}], gpus=0)]
    assert found[0] == found[1] != found[2] == found[3]


def test_children_end_with_the_run(run, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 2)
    outcomes = run([{}, {"sleep": 60}, {"sleep": 60}], gpus=0, workers=2)
    _, first = next(outcomes)
    began = time.monotonic()
    outcomes.close()
    assert time.monotonic() - began < 30
    assert not Path(f"/proc/{first['pid']}").exists() or sys.platform != "linux"


@pytest.mark.parametrize("given", [None, "7"])
def test_threads_wait_briefly_unless_the_user_says_otherwise(monkeypatch, given):
    monkeypatch.setenv("GOMP_SPINCOUNT", given) if given else monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert environment("tav_core.batch.worker", None, 1)["GOMP_SPINCOUNT"] == (given or "1000")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking")
def test_the_real_worker_does_jobs_and_saves_when_it_is_told_to_end(finished, make_batch, monkeypatch, tmp_path):
    """On two workers, as on one machine: the same bytes as in this process."""
    from tav_core.batch.driver import run_batch
    from tests.tav_core.batch.conftest import contents

    there = make_batch(out="there")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert not run_batch(there, executor="processes", slots=Slots(gpus=0, workers=2)).failures
    assert contents(finished) == contents(there.out)
    # A long tuning, told to end.
    import dataclasses
    from subprocess import PIPE, Popen

    from tav_core.tuning.config import TuneConfig

    long = make_batch(out="long", tuning=TuneConfig(num_steps=5000, save_every=0, memory="speed"))
    job = dataclasses.replace(long, out=tmp_path / "long")
    payload = {
        "job": job.jobs[0].as_json(),
        "recipe": job.recipe.as_json(),
        "hashes": {"model": "x"},
        "out": str(job.out),
        "run": "r",
        "stages": None,
    }
    child = Popen([sys.executable, "-m", "tav_core.batch.worker"], stdin=PIPE, stdout=PIPE, cwd=ROOT, text=True)
    timer = threading.Timer(120, child.kill)
    timer.start()
    child.stdin.write(json.dumps(payload) + "\n")
    child.stdin.flush()
    status = job.folder(job.jobs[0]).status
    while not (status.exists() and json.loads(status.read_text() or "{}").get("step", 0) > 1):
        assert child.poll() is None
        time.sleep(0.2)
    os.kill(child.pid, signal.SIGTERM)
    assert child.wait() == 130
    timer.cancel()
    assert list(job.out.rglob("tuning-*.safetensors")), "the state of the run is saved"
