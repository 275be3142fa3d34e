"""The command line as a process: how it is ended, what it writes to, what the system hands it, and equal bytes."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tav_core.cli.main import main
from tav_core.cli.options.commands import build_parser
from tav_core.cli.signals import ENDING
from tav_core.cli.streams import LastingStream, lasting_streams
from tav_core.cli.video_files import name_videos
from tav_core.errors import ConfigError
from tav_core.tensor_files import load_tensors
from tav_core.tuning.training_run import TuningRun
from tav_core.video.write import write_video

ROOT = Path(__file__).parents[3]
SIZE = ["--num-frames", "2", "--width", "32", "--height", "32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, small, write_folder):
    """A tiny checkpoint, a clip and a motion."""
    place = tmp_path_factory.mktemp("processes")
    write_folder(small, place / "model")
    write_video(place / "clip.mp4", np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32), fps=8)
    assert main(tune(place, "run")) == 0
    return place


def tune(place, out, *more):
    files = ["--model", f"{place / 'model'}", "--clip", f"{place / 'clip.mp4'}", "--out", f"{place / out}"]
    return ["tune", *files, *SIZE, "--prompt", "x", "--memory", "speed", "--num-steps", "3", *more]


def edit(place, out, *more):
    files = ["--model", f"{place / 'model'}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    return ["edit", *files, "--num-steps", "1", "--out", f"{place / out}", *more]


def process(*commands, **environment):
    """Runs commands one after another in a process of their own; returns it with what it wrote."""
    script = "import json, sys; from tav_core.cli.main import main; sys.exit(max(map(main, json.loads(sys.argv[1]))))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-c", script, json.dumps(commands)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=300)


def steps_of(path):
    return load_tensors(path, error=ConfigError, what="a state")[1]["step"]


@pytest.fixture(autouse=True)
def _no_nohup():
    """The tests may have been started under nohup, which has a run ignore SIGHUP."""
    if sys.platform == "win32":
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def signal_in_step(monkeypatch):
    """Sends this process a signal in the middle of its third step, and again at once, as a closing terminal does."""
    honest = TuningRun.loss

    def send(number, times=2):
        def loss(run, *drawn):
            for _ in range(times if run.step == 2 else 0):
                signal.raise_signal(number)
            return honest(run, *drawn)

        monkeypatch.setattr(TuningRun, "loss", loss)

    return send


@pytest.mark.parametrize("number", [signal.SIGINT, *ENDING], ids=str)
def test_a_signal_saves_the_run_after_the_step(place, signal_in_step, capsys, tmp_path, number):
    signal_in_step(number)
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, *ENDING)}
    assert main(tune(place, tmp_path / "out", "--num-steps", "50", "--save-every", "0")) == 128 + number
    assert "cancelled" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["state.safetensors"]
    assert steps_of(tmp_path / "out" / "state.safetensors") == "3"
    assert {each: signal.getsignal(each) for each in before} == before


@pytest.mark.parametrize("number", ENDING, ids=str)
def test_a_signal_leaves_no_half_of_a_file(place, monkeypatch, tmp_path, number):
    """Where there are no steps to wait for: here, in the middle of a write."""
    monkeypatch.setattr("os.fsync", lambda file: signal.raise_signal(number))
    assert main(edit(place, tmp_path / "out", "--prompt", "x")) == 128 + number
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_under_nohup_a_run_goes_on(place, signal_in_step, tmp_path):
    signal_in_step(signal.SIGHUP)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(tune(place, tmp_path / "out")) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send SIGTERM")
def test_kill_from_outside(place, tmp_path):
    command = [sys.executable, "-m", "tav_core", *tune(place, tmp_path / "out", "--num-steps", "100000")]
    run = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env={**os.environ, "TQDM_MININTERVAL": "0"}
    )
    line = ""
    while "| 5/" not in line:
        char = run.stderr.read(1)
        assert char, "it ended by itself"
        line = "" if char == "\r" else line + char
    run.terminate()
    assert "cancelled" in run.communicate()[1] and run.returncode == 143
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["state.safetensors"]
    assert int(steps_of(tmp_path / "out" / "state.safetensors")) >= 5


PROMPTS = ["--prompt", "滑雪的人", "--prompt", "second"]


# Most of a process' time goes into its imports, so two of them do for both tests: another encoding and another order.
ENCODINGS = {"cp1252": "1", "utf-8": "2"}


@pytest.fixture(scope="module")
def ran(place):
    """Of two processes that did the same, by their encoding: the process, and the folder of what it wrote.

    They order sets and dicts of strings differently. The videos of `PROMPTS` are in the folder `prompts` below.
    """
    found = {}
    for encoding, seed in ENCODINGS.items():
        out = place / encoding
        files = ["--model", f"{place / 'model'}", "--motion", f"{out / 'motion.safetensors'}", "--num-steps", "1"]
        invert = ["invert", *files, "--clip", f"{place / 'clip.mp4'}", "--out", f"{out / 't.safetensors'}"]
        edits = [edit(place, out, "--prompt", "x", "--format", kind) for kind in ("mp4", "gif", "webp")]
        page = ["report", "--video", f"{place / 'clip.mp4'}", "--no-flow", "--out", f"{out / 'page.html'}"]
        commands = [tune(place, out), invert, *edits, page, edit(place, out / "prompts", *PROMPTS)]
        found[encoding] = process(*commands, PYTHONHASHSEED=seed, PYTHONIOENCODING=encoding), out
    return found


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_video_is_written_whatever_the_pipe_can_show(ran, encoding):
    done, out = ran[encoding]
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (out / "prompts").iterdir()) == ["second.mp4", "滑雪的人.mp4"]
    shown = "滑雪的人" if encoding == "utf-8" else r"\u6ed1\u96ea\u7684\u4eba"
    assert shown in done.stdout.decode(encoding)


@pytest.mark.parametrize("gone", [">&- 2>&-", "2>&1 | true"])
@pytest.mark.skipif(sys.platform == "win32", reason="the shell of Unix")
def test_every_video_is_written_when_nobody_listens(place, tmp_path, gone):
    command = shlex.join([sys.executable, "-m", "tav_core", *edit(place, tmp_path / "out", *PROMPTS)])
    ran = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} {gone}"], cwd=ROOT, capture_output=True, timeout=300
    )
    assert ran.returncode == 0 and b"Error" not in ran.stderr, ran.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_streams_are_given_back():
    before = sys.stdout, sys.stderr
    with lasting_streams():
        assert isinstance(sys.stdout, LastingStream) and sys.stdout.fileno
    assert (sys.stdout, sys.stderr) == before


def test_half_of_a_pair_can_be_written_too():
    raw = io.BytesIO()
    stream = LastingStream(io.TextIOWrapper(raw, encoding="utf-8"))
    print("a \udcff", file=stream)
    stream.flush()
    assert raw.getvalue().strip() == rb"a \udcff"


@pytest.mark.parametrize("option", ["--prompt", "--negative"])
def test_bytes_that_are_no_utf8_are_refused_in_words(place, tmp_path, capsys, option):
    given = ["--prompt", "x", option, "\udcff"]
    assert main(edit(place, tmp_path / "out", *given)) == 1
    assert "not Unicode text" in capsys.readouterr().err
    assert main([*tune(place, tmp_path / "out"), "--prompt", "\ud83c"]) == 1


@pytest.mark.parametrize("prompt", ["滑" * 90, "𠀀" * 90, "é" * 400, "\udcff\udcff", "/", ".."])
def test_every_prompt_gives_a_name_that_file_systems_take(tmp_path, prompt):
    args = build_parser().parse_args(edit(tmp_path, "out", "--prompt", prompt, "--prompt", prompt))
    one, other = name_videos(args)
    assert one != other and one.parent == args.out
    for path in (one, other):
        assert len(os.fsencode(f".{path.name}.01234567.tmp")) <= 255


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_what_is_written_takes_the_umask(place, tmp_path):
    before = os.umask(0o022)
    try:
        assert main(tune(place, tmp_path / "out")) == 0
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()}
    assert modes == {"motion.safetensors": 0o644, "state.safetensors": 0o644}


def test_one_seed_gives_equal_bytes(ran):
    """In processes that order sets and dicts of strings differently."""
    assert [done.returncode for done, _ in ran.values()] == [0, 0]
    one, other = ({path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} for _, out in ran.values())
    assert len(one) == 7
    assert [name for name, content in one.items() if other[name] != content] == []


def test_long_prompts_are_taken_where_asked_for(place, tmp_path, capsys):
    long = ["--prompt", "cat " * 100, "--prompt", "x", "--negative", "dog " * 160]
    assert main(edit(place, tmp_path / "out", *long)) == 1
    assert "--long-prompts" in capsys.readouterr().err
    assert main(edit(place, tmp_path / "out", *long, "--long-prompts")) == 0
    assert len(list((tmp_path / "out").iterdir())) == 2
