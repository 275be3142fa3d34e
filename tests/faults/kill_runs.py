"""Kills tuning runs, and writes, by kill -9: `kill_runs.py FOLDER KILLS SEED`. Prints what it found as JSON.

Each run is a fork of this process, which has the imports behind it, so that fifty kills take minutes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from diffusers import UNet2DConditionModel

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.errors import ConfigError
from tav_core.evaluation.report import ReportVideo, write_report
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.unet import InflatedUNet
from tav_core.tensor_files import load_tensors, save_tensors
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.tune import tune
from tav_core.video.write import write_video

STEPS_A_KILL, SAVE_EVERY = 16, 2


def tune_in(folder: Path, *, num_steps: int, on_step: Callable | None = None) -> None:
    """Tunes a very small model, the same every time, with the state in a folder."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=16,
    )
    schedule = NoiseSchedule.from_config({"beta_schedule": "scaled_linear", "steps_offset": 1})
    tune(
        UNetDenoiser(unet=InflatedUNet.from_2d(unet), schedule=schedule),
        torch.randn(1, 4, 2, 8, 8),
        torch.randn(1, 3, 16),
        config=TuneConfig(num_steps=num_steps, save_every=SAVE_EVERY, learning_rate=1e-3, memory="speed"),
        state_path=folder / "state.safetensors",
        on_step=on_step,
    )


def fork(job: Callable[[], None]) -> int:
    """Does a job in a child; its process id."""
    child = os.fork()
    if child == 0:
        try:
            job()
            os._exit(0)
        except BaseException as error:
            print(f"in the child: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
    return child


def end_of(child: int) -> int:
    """The exit status of a child, or the number of the signal that ended it, below 0."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def state_of(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    return load_tensors(folder / "state.safetensors", error=ConfigError, what="a run's state")


def steps_in(folder: Path) -> int:
    return int(state_of(folder)[1]["step"]) if (folder / "state.safetensors").exists() else 0


def equal(one: Path, other: Path) -> bool:
    """Whether two runs have the same losses, weights and moments, bit for bit."""
    first, second = state_of(one)[0], state_of(other)[0]
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def timed_run(folder: Path, num_steps: int) -> tuple[float, float]:
    """An unbroken run: seconds before its first step has ended, and seconds a step."""
    note, began, ends = folder / "seconds.json", time.monotonic(), []

    def job() -> None:
        tune_in(folder, num_steps=num_steps, on_step=lambda progress: ends.append(time.monotonic()))
        note.write_text(json.dumps([ends[0] - began, (ends[-1] - ends[0]) / (num_steps - 1)]))

    assert end_of(fork(job)) == 0
    return tuple(json.loads(note.read_text()))


def tell_step(pipe: int, progress: object) -> None:
    os.write(pipe, b".")


def kill_at_random(folder: Path, kills: int, chance: random.Random) -> dict[str, object]:
    """Kills a run again and again: while it sets up, or after some steps, in a step or a save. Then lets it end."""
    whole, broken, num_steps = folder / "whole", folder / "broken", STEPS_A_KILL * kills
    whole.mkdir(parents=True)
    broken.mkdir()
    to_first, a_step = timed_run(whole, num_steps)
    done, gained, in_saves = 0, [], 0
    while done < kills:
        before = steps_in(broken)
        told, tell = os.pipe()
        child = fork(partial(tune_in, broken, num_steps=num_steps, on_step=partial(tell_step, tell)))
        os.close(tell)
        after = chance.randrange(STEPS_A_KILL)
        # The steps tell of themselves, as a busy machine's pace varies.
        for _ in range(after):
            os.read(told, 1)
        time.sleep(chance.uniform(0, 2 * a_step if after else to_first))
        os.kill(child, signal.SIGKILL)
        os.close(told)
        if end_of(child) == 0:
            break
        done += 1
        in_saves += any(path.suffix == ".tmp" for path in broken.iterdir())
        gained.append(steps_in(broken) - before)
    reached = steps_in(broken)
    assert end_of(fork(lambda: tune_in(broken, num_steps=num_steps))) == 0
    return {
        "kills": done,
        "num_steps": num_steps,
        "gained": gained,
        "killed_in_a_save": in_saves,
        "reached": reached,
        "equal": equal(whole, broken),
        "left": sorted(path.name for path in broken.iterdir()),
    }


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_rename() -> None:
    """From now on, this process dies when a written file is to be moved into place."""
    Path.replace = lambda source, target: die()


def die_half_written() -> None:
    """From now on, this process dies when half of a file is on the disk."""
    real = os.fsync

    def cut(number: int) -> None:
        os.ftruncate(number, os.fstat(number).st_size // 2)
        real(number)
        die()

    os.fsync = cut


def kill_in_write(folder: Path, write: Callable[[Path, int], None], ending: str, moment: Callable) -> dict[str, object]:
    """Kills a write over an older file; then writes again."""
    path = folder / f"file{ending}"
    folder.mkdir(parents=True)
    assert end_of(fork(lambda: write(path, 1))) == 0
    before = path.read_bytes()
    status = end_of(fork(lambda: (moment(), write(path, 2))))
    kept = path.read_bytes() == before
    for left in folder.glob(".*.tmp"):
        os.utime(left, (0, 0))
    again = end_of(fork(lambda: write(path, 2)))
    return {
        "status": status,
        "kept": kept,
        "again": again,
        "changed": path.read_bytes() != before,
        "left": [item.name for item in folder.iterdir()],
    }


def write_motion(path: Path, number: int) -> None:
    save_tensors(path, {"weights": torch.full((1000,), float(number))}, {})


def write_clip(path: Path, number: int) -> None:
    write_video(path, torch.full((2, 16, 16, 3), number / 4), fps=8)


def write_page(path: Path, number: int) -> None:
    write_report(path, [ReportVideo(label=f"video {number}", frames=torch.zeros(2, 16, 16, 3))], fps=8)


WRITES = ((write_motion, ".safetensors"), (write_clip, ".mp4"), (write_clip, ".gif"), (write_page, ".html"))


def main(folder: Path, kills: int, seed: int) -> None:
    torch.set_num_threads(1)
    found = {"random": kill_at_random(folder / "random", kills, random.Random(seed))}
    for moment in (die_before_rename, die_half_written):
        for write, ending in WRITES:
            name = f"{moment.__name__}{ending}"
            found[name] = kill_in_write(folder / name, write, ending, moment)
    print("FOUND", json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
