"""The executor `ray`: every job is one Ray task, on this machine or on any cluster. Ray is imported here alone.

Arguments and outcomes are paths and small values: no frames go through Ray's object store. A task whose worker or node
dies is run again by Ray; one that is thought dead and is not may then run twice, which the lock of its job sorts out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from .ray_nodes import check_nodes
from .tasks import Outcome, Outcomes, Queue, Run, Slots, Task, died

# Tasks that wait in Ray for each that can run: enough that no GPU waits for the driver, and few enough to hold.
AHEAD = 2
# Seconds between two looks at what has ended: the driver hears Ctrl-C only in between.
LOOK = 1.0
# Bytes; Ray's least. Nothing of ours is stored there, and Ray takes 30 % of the memory if it is not told.
OBJECT_STORE = 80 * 2**20
LEFT_BEHIND = ("**/__pycache__", "**/*.pyc")


def run_on_ray(queue: Queue, run: Run, slots: Slots) -> Outcomes:
    """Runs the tasks of a queue on Ray.

    Raises:
        ConfigError: Ray is not installed, a job is too big for every node, or a node lacks something.
    """
    ray = import_ray()
    with connection(ray, slots):
        room = check_nodes(ray, slots)
        # `num_gpus` must stand in this call: given later, Ray would keep the process, and its GPU's memory, for others.
        remote = ray.remote(
            num_gpus=slots.gpus, num_cpus=slots.cpus, max_retries=slots.retries, retry_exceptions=False
        )(run)
        running: dict[Any, Task] = {}
        try:
            while queue or running:
                while queue and len(running) < max(1, AHEAD * room):
                    task = queue.popleft()
                    running[remote.remote(dict(task.payload))] = task
                for reference in ray.wait(list(running), timeout=LOOK)[0]:
                    yield running.pop(reference), outcome_of(ray, reference)
        finally:
            for reference in running:
                ray.cancel(reference)
            if running:
                # Ray interrupts the tasks; they need a moment to save.
                ray.wait(list(running), num_returns=len(running), timeout=10)


def import_ray() -> Any:
    """The package.

    Raises:
        ConfigError: it is not installed, or does not load.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            got=f"--executor ray, and no Ray in this Python ({error})",
            expected="the package ray, 2.48 or newer",
            mend='Run pip install ".[ray]" from the folder of this project, or use --executor processes.',
        ) from error
    return ray


@contextmanager
def connection(ray: Any, slots: Slots) -> Iterator[None]:
    """A connection to Ray while it lasts: to the cluster at an address, else to one that is made here for this run.

    A connection that is there already is used as it is, and stays.

    Raises:
        ConfigError: nobody answers at the address.
    """
    if ray.is_initialized():
        yield
        return
    is_local = not (slots.address or os.environ.get("RAY_ADDRESS"))
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE} if is_local else {}
    try:
        ray.init(
            address="local" if is_local else slots.address or None,
            runtime_env={"py_modules": [package_folder()], "excludes": list(LEFT_BEHIND)},
            log_to_driver=False,
            logging_level="ERROR",
            **own,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            got=f"no connection to Ray at {slots.address or os.environ.get('RAY_ADDRESS', 'this machine')} ({error})",
            expected="a running cluster, such as auto, HEAD:6379, or ray://HEAD:10001",
            mend="Start one with: ray start --head. Without --address, a local one is made for the run.",
        ) from error
    try:
        yield
    finally:
        # Of a cluster that was running, only this connection ends.
        ray.shutdown()


def package_folder() -> str:
    """The folder of this library: its code and its vocabulary, without models, demo or tests."""
    return str(Path(__file__).resolve().parents[len(__name__.split(".")) - 2])


def outcome_of(ray: Any, reference: Any) -> Outcome:
    """What a task that has ended gave. Its worker may have died, more often than it is tried again."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        # Ray has tried it again already.
        return {**died(f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"), "is_final": True}
