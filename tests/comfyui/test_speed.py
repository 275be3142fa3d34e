"""Fewer and faster predictions in a real ComfyUI: the figures of speed_checks.py, held to their bounds."""

from __future__ import annotations

import pytest

CACHES = ("EasyCacheNode", "LazyCacheNode")


@pytest.fixture(scope="module")
def measured(run_checks):
    """What speed_checks.py measured, in 20 steps."""
    return run_checks("speed_checks.py")


def test_guidance_ends_as_in_the_library(measured):
    found = measured["guidance"]
    assert found["agrees"] < 1e-4 < 1e-2 < found["differs"]
    # 12 steps predict twice; and the next edit has guidance to its end.
    assert found["videos"] == [2 * 12 + 8, 2 * 20]


@pytest.mark.parametrize("cache", CACHES)
def test_a_cache_of_core_saves_predictions_in_our_edit_and_in_a_stock_sampler(measured, cache):
    found = measured[cache]
    assert found["finite"] and found["changes"] > 0
    assert found["videos"][0] <= 32 < found["videos"][1] == 40
    assert found["stock_videos"] <= 32


@pytest.mark.parametrize("cache", CACHES)
def test_a_cache_changes_neither_the_inversion_nor_the_model_before_it(measured, cache):
    found = measured[cache]
    assert found["inversion_videos"] == 20 and found["inversion_changes"] == 0
    assert found["left_alone"]


@pytest.mark.parametrize("cache", CACHES)
def test_a_cache_and_steps_taken_again_are_refused(measured, cache):
    assert "resample 2 with EasyCache or LazyCache" in measured[cache]["resampled"]


def test_on_a_cpu_our_attention_is_pytorchs_unless_the_user_asks_for_another(measured):
    found = measured["attention"]
    assert found["own"] and found["split"] and found["card"] and found["asked"]
    assert found["apart"] < 1e-5
