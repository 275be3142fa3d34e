"""Core's ToMe and HyperTile in a real ComfyUI: the figures of token_checks.py, held to their bounds."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def measured(run_checks):
    """What token_checks.py measured."""
    return run_checks("token_checks.py")


@pytest.mark.parametrize("what", ["edit", "inversion", "stock"])
def test_tome_acts_and_a_second_run_is_the_same(measured, what):
    found = measured["merging"]
    assert 1e-3 < found[what] < 0.5
    assert found[f"{what}_again"]


def test_tome_that_merges_nothing_and_the_model_before_it_are_as_they_were(measured):
    assert measured["merging"]["nothing_merged"] and measured["merging"]["left_alone"]
    assert measured["merging"]["draws_go_on"]


def test_fewer_tokens_ask_all_tokens_of_frames_0_and_before(measured):
    assert measured["fewer_queries"] < 1e-5


@pytest.mark.parametrize(
    "what", ["hypertile_edit", "hypertile_inversion", "hypertile_stock", "hypertile_cross_frame", "tiled_flow"]
)
def test_tiles_are_not_taken_for_frames(measured, what):
    said = measured["refusals"][what]
    assert "as HyperTile cuts them" in said and "Take HyperTile out" in said


@pytest.mark.parametrize(("what", "name"), [("tome_source", "Inject Source"), ("tome_flow", "Flow Guidance")])
def test_merged_tokens_are_refused_where_each_must_be_in_its_place(measured, what, name):
    assert f"Take TomePatchModel or {name} out" in measured["refusals"][what]


def test_frames_that_do_not_see_each_other_may_be_tiled(measured):
    assert measured["refusals"]["spatial"] == "nothing was refused"
