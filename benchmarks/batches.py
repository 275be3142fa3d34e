"""What running many jobs costs beside the jobs themselves: `python -m benchmarks.batches`.

Jobs without edits are run: each is locked, its clip is hashed, its status is written, and nothing else is done. So what
is measured is the overhead of a job with each executor, and what grows with the number of jobs: the driver's memory,
the files, a look at all of them, and the results.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tav_core.batch.driver import Batch, Watcher, run_batch
from tav_core.batch.executors.tasks import Slots
from tav_core.batch.manifest.jobs import ClipJob, Edit
from tav_core.batch.page import write_page
from tav_core.batch.recipe import Modes, Recipe
from tav_core.batch.results import ALL_SCORES, describe, write_results
from tav_core.batch.watch import read_batch
from tav_core.video.config import ClipConfig

MB = 2**20


def empty_batch(out: Path, count: int) -> Batch:
    """A batch of jobs that do nothing, on a file that is small."""
    clip = out / "clip.mp4"
    clip.parent.mkdir(parents=True, exist_ok=True)
    clip.write_bytes(b"a clip")
    one = ClipJob(name="", folder="", split="", clip=str(clip), prompt="a clip", config=ClipConfig(), edits=())
    jobs = [dataclasses.replace(one, name=f"clip {n}", folder=f"clip-{n:05d}") for n in range(count)]
    return Batch(jobs=jobs, recipe=Recipe(model=str(clip), modes=Modes(threads=1)), out=out)


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def time_executor(name: str, count: int, workers: int) -> dict[str, float]:
    """Seconds of a run of empty jobs: in all, and for each beyond the first, which waits for the processes."""
    with tempfile.TemporaryDirectory() as folder:
        batch = empty_batch(Path(folder), count)
        ends: list[float] = []
        began = time.perf_counter()
        watcher = Watcher(on_end=lambda name, state: ends.append(time.perf_counter()))
        slots = Slots(gpus=0, cpus=1, workers=workers)
        end = run_batch(batch, executor=name, slots=slots, stages=("edits",), watcher=watcher)
        assert end.done == count and not end.failures
        each = (ends[-1] - ends[0]) / (count - 1)
        return {
            "jobs": count,
            "to_first_s": ends[0] - began,
            "each_ms": 1000 * each,
            "all_s": time.perf_counter() - began,
        }


def time_many(count: int) -> dict[str, float]:
    """What grows with the number of jobs."""
    with tempfile.TemporaryDirectory() as folder:
        out, before = Path(folder), peak_mb()
        batch = empty_batch(out, count)
        began = time.perf_counter()
        run_batch(batch, slots=Slots(gpus=0), stages=("edits",))
        ran = time.perf_counter() - began
        began = time.perf_counter()
        states = read_batch(out)
        looked = time.perf_counter() - began
        assert len(states) == count and {each.state for each in states} == {"done"}
        files = sum(len(names) for _, _, names in os.walk(out))
        plan = (out / "batch.json").stat().st_size
    return {
        "jobs": count,
        "run_s": ran,
        "look_s": looked,
        "files": files,
        "batch_json_mb": plan / MB,
        "driver_mb": peak_mb() - before,
    }


def time_results(count: int) -> dict[str, float]:
    """The results of so many edits."""
    edit = Edit(type="style", prompt="a clip in the style of a painting")
    with tempfile.TemporaryDirectory() as folder:
        job = dataclasses.replace(empty_batch(Path(folder), 1).jobs[0], edits=(edit,))
        row = describe(job, edit, Recipe(model="m")) | dict.fromkeys(ALL_SCORES, 0.123456)
        row |= {"state": "done", "video": "v.mp4", "error": "", "host": "h", "gpu": "0", "attempt": 1}
        began = time.perf_counter()
        write_results(Path(folder), [row] * count)
        page = write_page(Path(folder), [row] * count, {})
        return {"edits": count, "seconds": time.perf_counter() - began, "page_mb": page.stat().st_size / MB}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs of the long run")
    parser.add_argument("--few", type=int, default=200, help="jobs for each executor")
    parser.add_argument("--executors", nargs="+", default=["serial", "processes", "ray"])
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args(argv)
    found: dict[str, dict[str, float]] = {}
    for name in args.executors:
        for workers in (1, 2) if name == "processes" else (0,):
            found[f"{name} {workers}".removesuffix(" 0")] = time_executor(name, args.few, workers)
            print(json.dumps(found), flush=True)
    found["many"] = time_many(args.jobs)
    found["results"] = time_results(4 * args.jobs)
    for name, figures in found.items():
        print(f"{name:12} " + "  ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
