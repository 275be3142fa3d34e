"""benchmarks/cases.py: which figures a command asks for."""

from __future__ import annotations

import argparse
from dataclasses import fields

import pytest

from benchmarks import cases, rivals, stages
from tav_core.errors import ConfigError


def listed(words):
    parser = argparse.ArgumentParser()
    cases.add_options(parser)
    args = parser.parse_args(words.split())
    return cases.list_cases({field.name: getattr(args, field.name) for field in fields(cases.Case)})


def test_every_combination_is_a_case():
    found = listed("--size demo --stage forward guided-step --device cpu --num-frames 1 2 --dtype fp32 bf16")
    assert len(found) == 8
    assert {(case.stage, case.num_frames, case.dtype) for case in found} == {
        (stage, frames, dtype)
        for stage in ("forward", "guided-step")
        for frames in (1, 2)
        for dtype in ("fp32", "bf16")
    }


def test_what_a_stage_does_not_use_multiplies_nothing():
    options = "--recompute nothing layers --compile on off"
    found = listed(f"--size demo --stage encode forward tune-step --device cpu {options}")
    assert [case.stage for case in found].count("encode") == 1
    assert [(case.compile) for case in found if case.stage == "forward"] == [True, False]
    assert len([case for case in found if case.stage == "tune-step"]) == 4


def test_what_is_not_given_is_the_sizes_and_the_stages_own():
    (case,) = listed("--size sd21 --stage job --device cpu")
    assert (case.pixels, case.num_frames, case.num_steps, case.dtype) == (768, 2, 5, "fp32")
    found = listed("--size demo --stage tune-step --device cpu")
    assert [case.recompute for case in found] == ["nothing", "blocks"]
    (case,) = listed("--size sd15 --stage job --device cuda")
    assert (case.num_frames, case.num_steps, case.tune_steps, case.dtype) == (32, 50, 500, "bf16")


def test_a_record_holds_what_the_stage_uses_and_gives_the_case_back():
    for case in listed("--size demo --device cpu --backend xformers --runs 7"):
        record = cases.as_record(case)
        assert ("num_steps" in record) == (case.stage in ("invert", "edit", "job"))
        assert ("recompute" in record) == (case.stage in ("tune-step", "job"))
        assert cases.as_record(cases.from_record(record)) == record
        assert record["runs"] == 7


def test_stages_are_named_alike_everywhere():
    assert set(cases.USES) == set(stages.STAGES)
    assert set(rivals.STAGES) <= set(cases.USES)


def test_the_settings_are_described_where_they_are_not_plain():
    case = cases.Case(stage="tune-step", dtype="bf16", recompute="nothing", compile=True, threads=2)
    assert case.describe() == "bf16, compile, recompute nothing, 2 threads"
    assert cases.Case().describe() == "1 thread"
    assert cases.Case(device="cuda", limit_gb=8).describe() == "8 GB at most, 1 thread"


def test_a_wrong_value_is_refused(capsys):
    with pytest.raises(ConfigError, match="num_frames 0"):
        cases.Case(num_frames=0)
    with pytest.raises(SystemExit):
        listed("--compile maybe")
    assert "'maybe' is neither on nor off" in capsys.readouterr().err
