"""The benchmarks run and say what they measured; the figures themselves are of no interest here."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from benchmarks import bench, clocks, measure, rates, sizes, stages, table
from benchmarks.cases import as_record
from benchmarks.workload import Workload

KEYS = {
    "seconds",
    "cpu_seconds",
    "median_seconds",
    "median_cpu_seconds",
    "warm_up_seconds",
    "peak_bytes",
    "flops",
    "flops_per_second",
    "rates",
    "shares",
}


@pytest.fixture(autouse=True)
def _small_products(monkeypatch):
    monkeypatch.setitem(rates.MATRIX_SIDE, "cpu", 64)
    monkeypatch.setattr(rates, "CHANNELS", 8)


@pytest.mark.parametrize("stage", stages.STAGES)
def test_every_stage_is_timed(small_case, stage):
    figures = measure.measure(small_case(stage=stage))
    assert set(figures) - {"parameters"} == KEYS
    assert ("parameters" in figures) == (stage not in ("encode", "decode"))
    assert len(figures["seconds"]) == len(figures["cpu_seconds"]) == 2
    assert min(figures["seconds"]) <= figures["median_seconds"] <= max(figures["seconds"])
    assert figures["flops_per_second"] == pytest.approx(figures["flops"] / figures["median_seconds"])
    assert figures["warm_up_seconds"] > 0
    assert figures["peak_bytes"] is None or figures["peak_bytes"] > 1e7
    assert all(figures["shares"][name] > 0 < figures["rates"][name] for name in ("matmul", "convolution"))


def test_the_share_is_of_the_cpus_own_time(monkeypatch, small_case):
    timed = {"median_seconds": 8.0, "median_cpu_seconds": 2.0}
    monkeypatch.setattr(measure, "stage_flops", lambda case: 600)
    monkeypatch.setattr(measure, "measure_rates", lambda *args, **kwargs: {"matmul": 1000})
    figures = measure.achieved(small_case(), timed)
    assert (figures["flops_per_second"], figures["shares"]) == (75, {"matmul": 0.3})


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("stage", ["forward", "tune-step"])
def test_the_plain_twin_is_timed_in_turn(small_case, stage):
    rival = measure.measure(small_case(stage=stage), rivals=("plain",))["rivals"]["plain"]
    assert len(rival["seconds"]) == 2
    assert rival["ratio"] > 0 < rival["cpu_ratio"]


def test_the_peak_is_read_before_a_rival_is_built(small_case, monkeypatch):
    order = []
    monkeypatch.setitem(stages.STAGES, "forward", lambda work: lambda: order.append("ours"))
    monkeypatch.setattr(measure, "peak_memory", lambda device: order.append("peak"))
    monkeypatch.setattr(measure, "build_rival", lambda *args: order.append("built") or (lambda: order.append("plain")))
    measure.measure(small_case(runs=1), rivals=("plain",))
    measure.measure(small_case(runs=2), rivals=("plain",))
    once, warmed = ["ours", "peak", "built", "plain"], ["ours", "peak", "built", "plain"]
    assert order == [*once, *warmed, "ours", "plain", "ours", "plain"]


def test_runs_alternate():
    called = []
    runs = {"ours": lambda: called.append("ours"), "plain": lambda: called.append("plain")}
    figures = clocks.time_in_turn(runs, times=2, device="cpu")
    assert called == ["ours", "plain", "ours", "plain"]
    assert all(len(figures[name]["seconds"]) == 2 for name in runs)


@pytest.mark.parametrize(("settings", "calls"), [({"runs": 1}, 0), ({"runs": 3}, 1), ({"runs": 1, "compile": True}, 1)])
def test_a_single_run_has_no_warm_up_unless_compiled(small_case, settings, calls):
    called = []
    seconds = measure.warm(lambda: called.append(1), small_case(**settings))
    assert len(called) == calls and (seconds is not None) == bool(calls)


def test_the_heaviest_operations_are_listed(small_case):
    operations = measure.measure(small_case(), profile=True)["operations"]
    assert len(operations) == 12
    assert [o["share"] for o in operations] == sorted((o["share"] for o in operations), reverse=True)
    assert any("addmm" in o["name"] for o in operations)


def test_the_networks_come_in_the_cases_dtype_and_layout(small_case):
    weight = Workload(case=small_case(dtype="bf16", channels_last=True)).denoiser.unet.conv_in.weight
    assert weight.dtype == torch.bfloat16 and weight.is_contiguous(memory_format=torch.channels_last)
    weight = Workload(case=small_case()).vae.encoder.conv_in.weight
    assert weight.dtype == torch.float32 and weight.is_contiguous()


def test_the_unet_is_compiled_in_every_stage_that_calls_it(small_case, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    for stage in stages.STAGES:
        stages.STAGES[stage](Workload(case=small_case(stage=stage, compile=True)))
    assert compiled == ["InflatedUNet"] * 5
    stages.STAGES["forward"](Workload(case=small_case()))
    assert len(compiled) == 5


def test_the_models_are_those_they_are_named_after():
    unet = sizes.build_unet(sizes.SIZES["demo"])
    assert tuple(unet.config.block_out_channels) == (64, 128, 128)
    with torch.device("meta"):
        unets = [sizes.build_unet(sizes.SIZES[name]) for name in ("sd15", "sd21", "sdxl")]
        vae = sizes.build_vae(sizes.SIZES["sd15"])
    counts = [sum(p.numel() for p in network.parameters()) for network in (*unets, vae)]
    assert counts == [859_520_964, 865_910_724, 2_567_463_684, 83_653_863]
    assert sizes.SIZES["sd21"].prediction_type == "v_prediction"


def test_weights_in_half_precision_are_filled_without_whole_ones():
    unet = sizes.build_unet(sizes.SIZES["demo"], torch.bfloat16)
    assert unet.dtype == torch.bfloat16 and not any(p.requires_grad for p in unet.parameters())
    assert all(torch.isfinite(p).all() for p in unet.parameters())
    assert (unet.conv_norm_out.weight == 1).all() and (unet.conv_in.bias == 0).all()
    # 64 filters of 3x3 on 4 channels keep the scale of what goes through.
    assert unet.conv_in.weight.float().std().item() == pytest.approx(36**-0.5, rel=0.1)


@pytest.mark.parametrize("stage", ["forward", "tune-step", "invert"])
def test_a_model_of_xls_layout_is_told_what_it_needs(small_case, monkeypatch, stage):
    widths = {"block_out_channels": (32, 64, 128), "attention_head_dim": (1, 1, 2), "layers_per_block": 1}
    narrow = {**sizes.SDXL, **widths, "transformer_layers_per_block": (1, 1, 2), "cross_attention_dim": 64}
    monkeypatch.setitem(sizes.SIZES, "demo", replace(sizes.SIZES["sdxl"], unet=narrow))
    figures = measure.measure(small_case(stage=stage, dtype="bf16", pixels=64, num_steps=1))
    assert figures["flops"] > 0 and figures["median_seconds"] > 0


FIGURES = {
    "seconds": [2.0],
    "median_seconds": 2.0,
    "median_cpu_seconds": 1.5,
    "warm_up_seconds": None,
    "peak_bytes": 3 * 2**30,
    "flops": 4e12,
    "flops_per_second": 2e12,
    "shares": {"matmul": 0.4, "convolution": 0.6},
    "rivals": {"plain": {"ratio": 2.5, "cpu_ratio": 2.6, "median_seconds": 5.0, "median_cpu_seconds": 4.0}},
}


def test_the_table_and_the_file_hold_every_figure_and_a_failure_is_shown(tmp_path, monkeypatch, capsys):
    asked = []

    def fake(command, **kwargs):
        asked.append(json.loads(command[-1]))
        failed = asked[-1]["case"]["stage"] == "edit"
        return bench.subprocess.CompletedProcess(
            command, int(failed), stdout=json.dumps(FIGURES), stderr="a warning\nMemoryError: too much\n"
        )

    monkeypatch.setattr(bench.subprocess, "run", fake)
    out = tmp_path / "new" / "bench.json"
    arguments = ["--sizes", "demo", "--stages", "forward", "edit", "--device", "cpu", "--plain", "--out", str(out)]
    assert bench.main(arguments) == 1
    assert [call["rivals"] for call in asked] == [["plain"], []]
    printed = capsys.readouterr().out
    for text in (
        "2.000",
        "1.500",
        "3.00 GiB",
        "40%",
        "60%",
        "none",
        "2.50 times",
        "2.60 times",
        "MemoryError: too much",
    ):
        assert text in printed
    written = json.loads(out.read_text())
    assert written["machine"]["torch"] and written["machine"]["cpu"] and written["machine"]["threads"]
    good, bad = written["results"]
    assert good["median_seconds"] == 2.0 and good["settings"]["num_frames"] == 8
    assert bad["error"] == "exit status 1: MemoryError: too much"


def test_columns_stand_under_their_names(small_case):
    heading, row = table.heading(), table.lines({"settings": as_record(small_case()), **FIGURES})[0]
    assert len(heading) == len(row)
    assert row[: heading.index("memory") + len("memory")].endswith("3.00 GiB")


def test_one_figure_comes_from_a_process_of_its_own(small_case):
    args = bench.parse(["--device", "cpu"])
    result = bench.bench(small_case(num_frames=1, runs=1), args)
    assert result["settings"]["num_frames"] == 1 and len(result["seconds"]) == 1
