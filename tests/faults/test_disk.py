"""A disk that is full or read-only: a clear error, the old file unchanged, and no partial file beside it."""

from __future__ import annotations

import errno
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tav_core.atomic_files import check_output, whole_file
from tav_core.errors import OutputError
from tav_core.evaluation.compare_inversions import MethodReport, write_reports
from tav_core.evaluation.report import ReportVideo, write_report
from tav_core.sampling.trajectory import Trajectory
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.state import RunState
from tav_core.tuning.training_run import TuningRun
from tav_core.tuning.tune import tune
from tav_core.video.write import check_video, write_video

FAST = {"num_steps": 3, "learning_rate": 1e-3, "memory": "speed"}
NOISE = torch.rand((4, 32, 32, 3), generator=torch.Generator().manual_seed(0))


def write_state(path, number, run):
    run.step, run.losses = number, [0.5] * number
    RunState(path, run).save()


def write_motion(path, number, run):
    run.step = number
    run.motion().save(path)


def write_trajectory(path, number, run):
    Trajectory(latents=torch.rand(3, 1, 4, 4, 16, 16), timesteps=(1, 501), fps=float(number)).save(path)


def write_page(path, number, run):
    write_report(path, [ReportVideo(label=f"video {number}", frames=NOISE)], fps=8)


def write_clip(path, number, run):
    write_video(path, NOISE * number / 2, fps=8)


def write_json(path, number, run):
    report = MethodReport(**dict.fromkeys(MethodReport.__dataclass_fields__, number))
    write_reports(path, [report] * 40, num_steps=number)


WRITES = {
    "state.safetensors": write_state,
    "motion.safetensors": write_motion,
    "trajectory.safetensors": write_trajectory,
    "clip.mp4": write_clip,
    "clip.gif": write_clip,
    "clip.webp": write_clip,
    "pictures": write_clip,
    "report.html": write_page,
    "methods.json": write_json,
}


@pytest.fixture
def run(untuned, clip_latents, context):
    return TuningRun(untuned, clip_latents, context, config=TuneConfig(**FAST))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB, where one can be mounted."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small tmpfs needs root on Linux")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False).returncode:
        pytest.skip("this system does not let the tests mount a tmpfs")
    yield disk
    # PyAV keeps a file open whose first bytes could not be written.
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk(small_disk, run, name):
    """With no room at all, and with room for a part of the file."""
    write, path = WRITES[name], small_disk / name
    write(path, 1, run)
    size = sum(map(len, contents(small_disk).values()))
    before, free = contents(small_disk), shutil.disk_usage(small_disk).free
    for room in (0, size // 3):
        filler = small_disk / "filler"
        filler.write_bytes(bytes(free - room // 4096 * 4096))
        with pytest.raises(OutputError, match=r"no space left.*Free some space"):
            write(path, 2, run)
        filler.unlink()
        assert contents(small_disk) == before
    write(path, 2, run)
    assert contents(small_disk) != before


@pytest.mark.parametrize("name", WRITES)
def test_a_disk_that_is_read_only(small_disk, run, name):
    write, path = WRITES[name], small_disk / name
    write(path, 1, run)
    before = contents(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OutputError, match=r"Read-only.*may be written to"):
        write(path, 2, run)
    assert contents(small_disk) == before


@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_is_cut_at_any_length(tmp_path, run, name):
    """The limit on a file's size ends a write in its middle: after its first byte, in its header, near its end."""
    resource = pytest.importorskip("resource")
    write, path = WRITES[name], tmp_path / name
    write(path, 1, run)
    before = contents(tmp_path)
    largest = max(map(len, before.values()))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (1, 40, largest // 2, largest * 9 // 10):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
        try:
            with pytest.raises(OutputError, match="File too large"):
                write(path, 2, run)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert contents(tmp_path) == before


def test_a_run_that_could_not_be_saved_takes_no_step(tmp_path, untuned, clip_latents, context, monkeypatch):
    """Not after a night, at its first save."""
    steps = []
    begin = lambda path: tune(  # noqa: E731
        untuned, clip_latents, context, config=TuneConfig(**FAST), state_path=path, on_step=steps.append
    )
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="file"):
        begin(tmp_path / "file" / "state.safetensors")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    with pytest.raises(OutputError, match=r"0\.00 GB of free space.*Free some space"):
        begin(tmp_path / "state.safetensors")
    assert not steps and [path.name for path in tmp_path.iterdir()] == ["file"]
    monkeypatch.undo()
    begin(tmp_path / "state.safetensors")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    begin(tmp_path / "state.safetensors")
    assert len(steps) == 3, "a run that is whole already needs no room"


def test_a_disk_that_fills_up_in_a_run_costs_the_steps_since_the_last_save(
    tmp_path, untuned, clip_latents, context, monkeypatch
):
    path, losses = tmp_path / "state.safetensors", []
    config = TuneConfig(**{**FAST, "num_steps": 6, "save_every": 2})
    go = lambda path: tune(untuned, clip_latents, context, config=config, state_path=path, on_step=note)  # noqa: E731

    def note(progress):
        losses.append(progress.loss)

    whole = go(None)
    expected, honest = losses.copy(), RunState.write
    losses.clear()

    def write(state, tensors, metadata, reached):
        if metadata["step"] == "4":
            monkeypatch.setattr("os.fsync", full)
        honest(state, tensors, metadata, reached)

    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # However quick the steps are, each save that is due is begun.
    monkeypatch.setattr("tav_core.tuning.background.SHARE", math.inf)
    monkeypatch.setattr(RunState, "write", write)
    with pytest.raises(OutputError, match="no space left"):
        go(path)
    monkeypatch.undo()
    assert [item.name for item in tmp_path.iterdir()] == ["state.safetensors"]
    # The run goes on while it is saved, so it may have learned of the failure later.
    assert len(losses) >= 4 and losses == expected[: len(losses)]
    del losses[2:]
    resumed = go(path)
    assert losses == expected
    assert all(torch.equal(resumed.deltas[name], delta) for name, delta in whole.deltas.items())


def test_what_is_checked_before_the_work_leaves_no_trace(tmp_path):
    check_output(tmp_path / "new" / "folders" / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_place_for_a_file_nor_the_reverse(tmp_path):
    """Neither can be moved over the other, which was found after the work."""
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"folder\.mp4, which is a folder.*move what is there"):
        check_output(tmp_path / "folder.mp4")
    with pytest.raises(OutputError, match=r"as in .*folder\.mp4.x\.html"):
        check_output(tmp_path / "folder.mp4", example="x.html")
    for path, kind in (("folder.mp4", "folder"), ("file", "file")):
        with pytest.raises(OutputError, match=f"which is a {kind}"):
            check_video(tmp_path / path, fps=8)
    check_output(tmp_path / "folder.mp4", folder=True)
    check_output(tmp_path / "file")
    with pytest.raises(OutputError, match="too long"):
        check_output(tmp_path / ("x" * 300) / "x")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_leftovers_of_killed_writes_go_but_not_those_of_another(tmp_path, kind):
    mine = [tmp_path / ".x.0a1b2c3d.tmp", tmp_path / ".x.99.tmp", tmp_path / ".x.0a1b2c3d.old"]
    others = [tmp_path / ".y.0a1b2c3d.tmp", tmp_path / ".x.tmp.txt", tmp_path / ".x.ffffffff.tmp"]
    for path in (*mine, *others):
        if kind == "file":
            path.write_text("half")
        else:
            (path / "inside").mkdir(parents=True)
    for path in (*mine, *others[:2]):
        os.utime(path, (0, 0))
    with whole_file(tmp_path / "x") as temporary:
        temporary.write_text("whole") if kind == "file" else temporary.mkdir()
    assert {path.name for path in tmp_path.iterdir()} == {"x", *(path.name for path in others)}


def test_a_leftover_that_may_not_be_removed_does_not_stop_a_write(tmp_path, monkeypatch):
    left = tmp_path / ".x.0a1b2c3d.tmp"
    left.write_text("half")
    os.utime(left, (0, 0))
    honest = Path.unlink

    def unlink(path, missing_ok=False):
        if path == left:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        honest(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    with whole_file(tmp_path / "x") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "x").read_text() == "whole"
