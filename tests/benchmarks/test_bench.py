"""The benchmarks run and say what they measured; the figures themselves are of no interest here."""

from __future__ import annotations

import json

import pytest

from benchmarks import bench, measure, sizes, stages

TINY = sizes.Size(
    unet={
        "block_out_channels": (32, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
    },
    pixels=32,
    num_frames=(2, 2),
    runs=2,
)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(sizes.SIZES, "tiny", TINY)


@pytest.mark.parametrize("stage", stages.STAGES)
def test_every_stage_is_timed(tiny, stage):
    figures = measure.measure(size="tiny", stage=stage, device="cpu", dtype="fp32", num_frames=2, num_steps=2, runs=2)
    assert len(figures["seconds"]) == 2
    assert min(figures["seconds"]) <= figures["median_seconds"] <= max(figures["seconds"])
    assert 0 < figures["parameters_2d"] < figures["parameters"]
    assert figures["peak_bytes"] is None or figures["peak_bytes"] > 1e7


@pytest.mark.parametrize(("runs", "calls"), [(1, 1), (3, 4)])
def test_the_warm_up_is_not_counted(runs, calls):
    called = []
    seconds = measure.time_runs(lambda: called.append(1), runs=runs, device="cpu")
    assert (len(seconds), len(called)) == (runs, calls)


def test_the_demo_size_is_the_bundled_models_own():
    unet = sizes.build_unet(sizes.SIZES["demo"])
    assert tuple(unet.config.block_out_channels) == (64, 128, 128)
    assert unet.config.cross_attention_dim == 128


def test_the_table_and_the_file_hold_every_figure_and_a_failure_is_shown(tmp_path, monkeypatch, capsys):
    def fake(command, **kwargs):
        failed = "edit" in command
        figures = {"seconds": [2.0], "median_seconds": 2.0, "peak_bytes": 3 * 2**30, "parameters": 5_000_000}
        return bench.subprocess.CompletedProcess(
            command, int(failed), stdout=json.dumps(figures), stderr="a warning\nMemoryError: too much\n"
        )

    monkeypatch.setattr(bench.subprocess, "run", fake)
    out = tmp_path / "new" / "bench.json"
    arguments = ["--sizes", "demo", "--stages", "forward", "edit", "--device", "cpu", "--out", str(out)]
    assert bench.main(arguments) == 1
    printed = capsys.readouterr().out
    assert "2.000" in printed and "3.00 GiB" in printed and "5.0 M" in printed and "MemoryError: too much" in printed
    written = json.loads(out.read_text())
    assert written["machine"]["torch"] and written["machine"]["cpu"] and written["machine"]["threads"]
    good, bad = written["results"]
    assert good["median_seconds"] == 2.0 and good["num_frames"] == 8
    assert bad["error"] == "exit status 1: MemoryError: too much"


def test_one_figure_comes_from_a_process_of_its_own():
    args = bench.parse(["--sizes", "demo", "--runs", "1", "--num-frames", "1", "--device", "cpu"])
    result = bench.bench(args, "demo", "forward")
    assert result["num_frames"] == 1 and len(result["seconds"]) == 1
