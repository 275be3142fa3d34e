"""The executor `ray` on real clusters of this machine. Without Ray these are skipped, and say so."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from pathlib import Path

import pytest

from tav_core.batch.driver import run_batch
from tav_core.batch.executors import ray_tasks
from tav_core.batch.executors.node_probe import probe_node
from tav_core.batch.executors.ray_nodes import differences, what_is_missing
from tav_core.batch.executors.ray_tasks import run_on_ray
from tav_core.batch.executors.tasks import Slots, Task
from tav_core.errors import ConfigError
from tests.tav_core.batch.conftest import contents

NO_RAY = 'NO PACKAGE ray, so nothing was tried on a cluster: pip install ".[ray]"'


def test_without_ray_it_is_refused_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"no Ray in this Python.*--executor processes"):
        next(run_on_ray(deque([Task(name="a", payload={})]), probe_node, Slots()))


def test_the_library_goes_along_without_models_or_tests():
    folder = Path(ray_tasks.package_folder())
    assert folder.name == "tav_core" and (folder / "batch").is_dir()
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.suffix != ".pyc") < 5e6


def test_a_node_tells_what_it_lacks(tmp_path):
    found = probe_node({"files": [str(tmp_path), "/nowhere", *(f"/gone/{n}" for n in range(9))], "out": str(tmp_path)})
    lines = what_is_missing("node", found)
    assert lines[0] == "node: no /nowhere" and lines[-1] == "node: no 5 more files"
    assert not list(tmp_path.iterdir())
    assert what_is_missing("node", {**found, "missing": [], "free_bytes": 1}) == [
        f"node: only 0.00 GB free at {tmp_path}"
    ]
    assert what_is_missing("node", {**found, "missing": [], "can_write": False})[0].startswith("node: cannot write")
    other = {**found, "torch": "1.0"}
    assert differences({"a": found, "b": found}) == [] and len(differences({"a": found, "b": other})) == 1


def job(payload):
    """A job that says where it ran; it may die first, or wait."""
    seen = Path(payload["note"])
    with seen.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if payload.get("die") and len(seen.read_text().split()) <= payload["die"]:
        os.kill(os.getpid(), signal.SIGKILL)
    import ray

    node = ray.get_runtime_context().get_node_id()
    seen.with_suffix(".node").write_text(node)
    time.sleep(payload.get("sleep", 0))
    return {
        "state": "done",
        "failures": [],
        "node": node,
        "pid": os.getpid(),
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        # On this machine, the folder that it was sent from may be found first.
        "sent": any("py_modules" in each and Path(each, "tav_core", "batch").is_dir() for each in sys.path),
    }


@pytest.fixture(scope="module")
def cluster():
    """A head without CPUs, and two nodes, of which one has GPUs to give."""
    pytest.importorskip("ray", reason=NO_RAY)
    if sys.platform != "linux":
        pytest.skip("Ray has clusters of several nodes on Linux alone")
    # Else the workers get what other programs leave them.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80 * 2**20})
    first = made.add_node(num_cpus=2, num_gpus=1, object_store_memory=80 * 2**20)
    made.add_node(num_cpus=2, object_store_memory=80 * 2**20)
    made.wait_for_nodes()
    yield made, first
    made.shutdown()


@pytest.fixture
def run(cluster, tmp_path):
    """Runs payloads on the cluster: run(payloads, **slots)."""
    import ray.cloudpickle

    # The nodes have no tests of ours: the job goes along by value.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    made, _ = cluster

    def start(payloads, **slots):
        notes = [{"note": str(tmp_path / f"job-{number}"), **each} for number, each in enumerate(payloads)]
        queue = deque(Task(name=str(number), payload=payload) for number, payload in enumerate(notes))
        checks = {"files": [str(tmp_path)], "out": str(tmp_path), **slots.pop("checks", {})}
        own = Slots(address=made.address, checks=checks, **{"gpus": 0, "cpus": 1, **slots})
        return [(task.name, outcome) for task, outcome in run_on_ray(queue, job, own)]

    return start


def test_a_gpu_is_shared_by_fractions_and_the_library_is_sent(run):
    found = [outcome for _, outcome in run([{"sleep": 1}] * 2, gpus=0.5)]
    assert [outcome["gpu"] for outcome in found] == ["0", "0"]
    # A process for each: Ray ends it, which frees its GPU's memory for sure.
    assert len({outcome["pid"] for outcome in found}) == 2
    assert all(outcome["sent"] for outcome in found)


def test_a_job_that_fits_no_node_is_refused_instead_of_waiting(run):
    with pytest.raises(ConfigError, match=r"jobs of 0 GPUs and 64 CPUs for a cluster of .*with 2 CPUs and 1 GPUs"):
        run([{}], cpus=64)


def test_a_node_without_the_model_is_named(run):
    with pytest.raises(ConfigError, match="no /nowhere/model"):
        run([{}], checks={"files": ["/nowhere/model"]})


def test_a_worker_that_is_killed_is_run_again_and_no_more_often_than_that(run, tmp_path):
    found = dict(run([{"die": 1}, {"die": 9}], retries=1))
    assert found["0"]["state"] == "done" and len((tmp_path / "job-0").read_text().split()) == 2
    assert found["1"]["state"] == "crashed" and found["1"]["is_final"]
    assert "WorkerCrashedError" in found["1"]["failures"][0]["got"]


def test_a_batch_on_the_cluster_gives_the_bytes_of_one_in_this_process(cluster, finished, make_batch):
    made, _ = cluster
    there = make_batch(out="there")
    slots = Slots(gpus=0, cpus=2, address=made.address)
    assert not run_batch(there, executor="ray", slots=slots).failures
    assert contents(finished) == contents(there.out)


def test_a_node_that_is_removed_loses_no_job(run, cluster, tmp_path):
    """The last of this cluster: it has one node less afterwards."""
    import threading

    made, first = cluster

    def remove():
        while not (tmp_path / "job-0.node").exists():
            time.sleep(0.1)
        time.sleep(0.5)
        made.remove_node(first, allow_graceful=False)

    # Only the first node has a GPU's place, so the job begins there or on the other; both are long enough.
    thread = threading.Thread(target=remove)
    thread.start()
    found = run([{"sleep": 6}] * 3, retries=3)
    thread.join()
    assert sorted(name for name, _ in found) == ["0", "1", "2"]
    assert all(outcome["state"] == "done" for _, outcome in found)
    tries = [len((tmp_path / f"job-{number}").read_text().split()) for number in range(3)]
    assert max(tries) >= 2, "a job was on the node that was removed"
