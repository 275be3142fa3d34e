"""benchmarks/peers.py and its neighbours, as far as they work without ComfyUI: what is read, counted and printed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import peer_jobs, peer_start, peers, process_memory
from benchmarks.peer_processes import Contestant, environment

ECHO = """
import json, sys
print("a node's own words, no RESULTS {}", flush=True)
print('RESULTS {"held_bytes": 5}', flush=True)
for line in sys.stdin:
    if line == "9\\n":
        sys.exit("out of luck")
    print("more words")
    print("RESULTS " + json.dumps({"seed": int(line)}), flush=True)
"""


def row(cpu: float, peak: int) -> dict[str, float]:
    return {"median_cpu_seconds": cpu, "peak_bytes": peak}


@pytest.fixture
def peer(tmp_path):
    (tmp_path / "animatediff").mkdir()
    return str(tmp_path)


def test_a_step_needs_the_folder_of_a_peer(peer, capsys):
    assert peers.parse(["step", "start", "--peer", peer]).what == ["step", "start"]
    assert peers.parse(["start"]).peer is None
    for given in (["step"], ["step", "--peer", str(Path(peer) / "elsewhere")], ["walk"], []):
        with pytest.raises(SystemExit):
            peers.parse(given)
    assert "expected a checkout of ComfyUI-AnimateDiff-Evolved" in capsys.readouterr().err


def test_comfyui_has_to_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    monkeypatch.setenv("COMFYUI_PYTHON", sys.executable)
    with pytest.raises(SystemExit, match="COMFYUI_PATH"):
        peers.where_comfyui_is()
    (tmp_path / "main.py").touch()
    assert peers.where_comfyui_is() == (tmp_path.resolve(), Path(sys.executable).absolute())


@pytest.fixture
def contestant(monkeypatch, tmp_path):
    """A process that answers as those in ComfyUI do."""
    (tmp_path / "echo.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    started = Contestant(Path(sys.executable), "echo", {"threads": 1}, tmp_path)
    yield started
    started.close()


def test_a_contestant_answers_each_line_and_its_last_words_are_told(contestant):
    assert contestant.read() == {"held_bytes": 5}
    assert [contestant.run(seed)["seed"] for seed in (3, 1)] == [3, 1]
    with pytest.raises(RuntimeError, match="out of luck"):
        contestant.run(9)
    contestant.close()
    assert contestant.process.poll() is not None


def test_turns_alternate_and_the_first_is_no_figure():
    calls = []

    class Slower:
        def __init__(self, name: str, factor: float) -> None:
            self.name, self.factor = name, factor

        def run(self, seed: int) -> dict[str, float]:
            calls.append(self.name)
            seconds = self.factor * (100 if seed == 0 else seed)
            return {"seconds": 2 * seconds, "cpu_seconds": seconds}

    rows = peers.summarize_turns(peers.run_in_turn({"a": Slower("a", 1), "b": Slower("b", 3)}, 3))
    assert calls == ["a", "b"] * 4
    assert [rows[who]["median_cpu_seconds"] for who in "ab"] == [2, 6]
    assert rows["a"]["cpu_seconds"] == (1, 2, 3) and rows["a"]["warm_up_cpu_seconds"] == 100
    assert rows["b"]["median_seconds"] == 12


def test_ratios_are_held_against_the_goals():
    ratios = peers.step_ratios({"core": row(4, 1), "ours": row(6, 30), "peer": row(8, 20)})
    assert ratios == {
        "ours to peer, time": 0.75,
        "ours to peer, peak": 1.5,
        "ours to core, time": 1.5,
        "peer to core, time": 2.0,
    }
    assert peers.format_ratio("ours to peer, time", 0.75).endswith("0.750, goal 1.0: met")
    assert peers.format_ratio("ours to peer, peak", 1.5).endswith("missed")
    assert "goal" not in peers.format_ratio("ours to core, time", 1.5)


def test_a_jobs_parts_are_medians_and_nodes_that_do_one_part_are_added():
    turn = lambda *seconds: {"nodes": {"parts": dict(zip(("source", "empty", "edit"), seconds, strict=True))}}  # noqa: E731
    turns = [turn(50, 50, 50), turn(1, 2, 10), turn(1, 3, 30), turn(1, 4, 20)]
    assert peer_jobs.median_parts(turns, "nodes") == {"texts": 4, "edit": 20}
    lines = peer_jobs.format_parts({"nodes": {"texts": 4, "edit": 20}, "library": {"edit": 10, "save": 1}}).splitlines()
    assert lines[0] == "| part | nodes | library |"
    assert lines[2:] == ["| texts | 4.00 | 0.00 |", "| edit | 20.00 | 10.00 |", "| save | 0.00 | 1.00 |"]


def test_frames_are_compared_in_levels_and_other_sizes_are_no_figure(tmp_path):
    levels = {"nodes": (10, 250), "library": (13, 249)}
    for who, values in levels.items():
        for number, level in enumerate(values):
            Image.new("RGB", (4, 2), (level, level, level)).save(tmp_path / f"{who}{number}.png")
    turn = {who: {"frames": [str(tmp_path / f"{who}{number}.png") for number in (0, 1)]} for who in levels}
    assert peer_jobs.compare_frames(turn) == {"largest": 3, "mean": 2}
    for frames in ([], turn["nodes"]["frames"][:1]):
        with pytest.raises(RuntimeError, match="frames of the nodes"):
            peer_jobs.compare_frames({**turn, "nodes": {"frames": frames}})


def test_a_jobs_ratio_is_held_against_its_goal():
    rows = {
        who: peers.summarize(cpu, cpu) for who, cpu in {"nodes": (5.0, 6.0, 9.0), "library": (4.0, 5.0, 6.0)}.items()
    }
    assert peers.job_ratios(rows) == {"nodes to library, time": 1.2, "nodes to library, fastest": 1.25}
    assert peers.format_ratio("nodes to library, time", 1.05).endswith("goal 1.05: met")
    assert peers.format_ratio("nodes to library, time", 1.051).endswith("missed")


def test_the_table_has_a_row_for_each_and_says_what_is_added():
    rows = {who: {**peers.summarize((2.0, 4.0), (1.0, 2.0)), "peak_bytes": 2**31} for who in ("ours", "peer")}
    del rows["peer"]["peak_bytes"]
    result = {"what": "step", "settings": {"runs": 2}, "rows": rows, "ratios": {"ours to peer, time": 1.01}}
    lines = peers.format_table({**result, "added": {"median_seconds": 0.125}}).splitlines()
    assert lines[0] == "step: runs 2"
    assert (
        "| ours | 1.50 | 1.00 | 2.00 | 3.00 | 2.00 GiB |" in lines
        and "| peer | 1.50 | 1.00 | 2.00 | 3.00 |  |" in lines
    )
    assert lines[-2].endswith("1.010, goal 1.0: missed") and lines[-1] == "median_seconds added: 0.12"


def test_starts_alternate_and_one_of_each_is_not_counted(monkeypatch, tmp_path):
    seen = []

    def start(comfy, python, base):
        packs = list((base / "custom_nodes").iterdir())
        seen.append(bool(packs))
        assert all(pack.resolve() == tmp_path for pack in packs)
        return len(seen), 0.5

    monkeypatch.setattr(peer_start, "time_start", start)
    times = peer_start.time_starts(tmp_path, Path(sys.executable), tmp_path, runs=2)
    assert seen == [False, True] * 3
    assert times == {"without": [(3, 0.5), (5, 0.5)], "with": [(4, 0.5), (6, 0.5)]}


@pytest.mark.parametrize(("program", "fails"), [("pass", False), ("print('IMPORT FAILED')", True), ("1 / 0", True)])
def test_a_start_that_failed_is_no_figure(tmp_path, program, fails):
    (tmp_path / "main.py").write_text(f"{program}\nsum(range(3_000_000))\n")
    if fails:
        with pytest.raises(RuntimeError, match="did not start"):
            peer_start.time_start(tmp_path, Path(sys.executable), tmp_path)
    else:
        seconds, cpu_seconds = peer_start.time_start(tmp_path, Path(sys.executable), tmp_path)
        assert seconds > 0 and cpu_seconds > 0


def test_a_process_in_comfyui_writes_nothing_beside_the_code(tmp_path):
    told, kept = environment(tmp_path), environment(tmp_path, bytecode=tmp_path / "kept")
    assert told["COMFYUI_PATH"] == str(tmp_path) and told["HF_HUB_OFFLINE"] == "1"
    assert told["PYTHONDONTWRITEBYTECODE"] == "1"
    assert kept["PYTHONPYCACHEPREFIX"] == str(tmp_path / "kept")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells of a process's memory and time")
def test_the_peak_is_that_since_the_reset():
    big = bytearray(200 * 2**20)
    assert process_memory.peak_bytes() >= process_memory.held_bytes() > len(big)
    del big
    process_memory.reset_peak()
    after = process_memory.peak_bytes()
    more = bytearray(100 * 2**20)
    assert 90 * 2**20 < process_memory.peak_bytes() - after < 150 * 2**20 and len(more)
