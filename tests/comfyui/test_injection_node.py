"""nodes/core/injection.py in a real ComfyUI: the figures of injection_checks.py, held to their bounds."""

from __future__ import annotations

import pytest

FRAMES = 5


@pytest.fixture(scope="module")
def checks(run_checks):
    """What injection_checks.py measured."""
    return run_checks("injection_checks.py")


def test_core_host_and_diffusers_host_agree(checks):
    agreement = checks["agreement"]
    assert agreement["edit"] < 1e-4
    assert agreement["without_guidance"] < 1e-4
    assert agreement["changes"] > 1e-3


def test_stock_samplers_have_the_source(checks):
    # See test_host.py on how core's DDIM ends.
    assert checks["agreement"]["stock_ddim"] < 2e-3
    assert checks["agreement"]["stock_changes"] > 1e-3


def test_no_schedule_is_the_plain_edit_bit_for_bit(checks):
    assert checks["agreement"]["none_equal"]


def test_taking_the_source_off_gives_the_model_back_bit_for_bit(checks):
    patches = checks["patches"]
    assert patches["weights_back"] and patches["types_back"] and patches["plain_back"] and patches["again"]


def test_a_source_put_on_while_another_clone_is_loaded_is_the_same(checks):
    assert checks["patches"]["warm_equal"]


def test_a_lora_on_layers_that_share_counts_before_and_after_and_leaves_nothing_behind(checks):
    patches = checks["patches"]
    assert patches["lora_keys"]
    assert patches["lora_changes"] > 1e-3
    assert patches["lora_order"] < 1e-5
    assert patches["lora_gone"]


def test_windows_before_and_after_the_source_agree_with_the_diffusers_host(checks):
    assert checks["windows"]["windows_before"] < 1e-4
    assert checks["windows"]["windows_after"] < 1e-4


def test_the_source_is_in_the_batch_while_the_schedule_lasts(checks):
    conditions = checks["conditions"]
    assert conditions["batches"] == [3 * FRAMES] * 2 + [2 * FRAMES]
    assert conditions["batches_apart"] == [2 * FRAMES] * 4 + [FRAMES] * 2
    assert conditions["apart"] < 1e-4


def test_a_controlnet_is_the_edits_alone(checks):
    conditions = checks["conditions"]
    assert conditions["batch_controlled"] == 3 * FRAMES
    assert conditions["control_changes"] > 1e-3
    assert conditions["source_without_control"] < 1e-6


def test_texts_may_have_other_lengths(checks):
    assert checks["conditions"]["longer_prompt"] < 1e-4
    assert checks["conditions"]["longer_source"] < 1e-4


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("without a motion", ["a MODEL without a motion", "Connect Apply Motion"]),
        ("twice", ["a source on it already", "in front of the other"]),
        ("the two ends", ["kept 2 of 7 steps", "keep="]),
        ("another family's text", ["text of width 768", "128"]),
        ("fewer frames", ["3 frames of 12x12", "the source's 5 of 12x12"]),
        ("a part of the picture", ["5 frames of 6x6", "part of the picture"]),
    ],
)
def test_what_does_not_fit_is_refused_in_words(checks, case, words):
    assert all(word in checks["refusals"][case] for word in words), checks["refusals"][case]
