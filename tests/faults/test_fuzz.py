"""A short round of fuzzing, the same each time; and that a round would see a defect."""

from __future__ import annotations

import random
import time

import pytest

from tav_core.errors import MotionError
from tests.faults import fuzz

INPUTS = {"motion": 60, "state": 150, "trajectory": 300, "weights": 300, "graph": 500}


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_short_round_finds_nothing(name):
    result = fuzz.run_target(name, seed=0, inputs=INPUTS[name])
    assert not result.defects
    assert result.inputs == INPUTS[name] and (name == "graph" or sum(result.refused.values()) > result.inputs / 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_long_round_finds_nothing(name):
    assert not fuzz.run_target(name, seed=int(time.time()), minutes=10).defects


def target(read):
    return fuzz.Target([b'{"a": 1, "b": "text"}'], read, fuzz.reshape_json)


def test_a_defect_is_found_and_told_by_its_place():
    def read(data):
        if len(data) > 25:
            raise KeyError("b")
        if len(data) < 10:
            raise MotionError(got="little", expected="more", mend="Give more.")

    result = fuzz.fuzz(target(read), seed=1, inputs=300)
    (defect,) = result.defects
    assert defect.startswith("KeyError at test_fuzz.py:") and result.refused["MotionError"] > 0 and result.taken > 0


def test_a_hang_is_a_defect(monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.02)
    result = fuzz.fuzz(target(lambda data: time.sleep(0.5 * (len(data) > 25))), seed=1, inputs=20)
    assert list(result.defects) == ["a hang"]


def test_the_same_seed_gives_the_same_inputs():
    seen = [[], []]
    for part in seen:
        fuzz.fuzz(target(part.append), seed=5, inputs=50)
    assert seen[0] == seen[1] and len(set(seen[0])) > 25


def test_a_changed_structure_is_still_a_file_of_its_kind():
    rng = random.Random(0)
    data = fuzz.struct.pack("<Q", 22) + b'{"__metadata__":{} }  ' + b"data"
    changed = {fuzz.reshape_safetensors(data, rng) for _ in range(50)}
    assert len(changed) > 5 and all(len(c) >= 12 and c.endswith(b"data") for c in changed)
