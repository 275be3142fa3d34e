"""nodes/core/flow.py in a real ComfyUI: the figures of flow_checks.py, held to their bounds."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def checks(run_checks):
    """What flow_checks.py measured."""
    return run_checks("flow_checks.py")


def test_core_host_and_diffusers_host_agree(checks):
    agreement = checks["agreement"]
    assert agreement["edit"] < 1e-4 and agreement["other_settings"] < 1e-4
    assert agreement["changes"] > 1e-3


def test_stock_samplers_are_guided(checks):
    # See test_host.py on how core's DDIM ends.
    assert checks["agreement"]["stock_ddim"] < 2e-3


def test_a_source_before_and_after_agrees_with_the_diffusers_host(checks):
    agreement = checks["agreement"]
    assert agreement["source_after"] < 1e-4 and agreement["source_before"] < 1e-4
    assert agreement["source_changes"] > 1e-3


def test_no_steps_and_no_paths_are_the_plain_edit_bit_for_bit(checks):
    assert checks["agreement"]["none_equal"] and checks["agreement"]["no_paths_equal"]


def test_an_alpha_channel_is_left_out(checks):
    assert checks["agreement"]["alpha_equal"]


def test_windows_before_and_after_agree_with_the_diffusers_host(checks):
    assert checks["windows"]["windows_before"] < 1e-4
    assert checks["windows"]["windows_after"] < 1e-4


def test_taking_it_off_gives_the_model_back_bit_for_bit(checks):
    assert all(checks["patches"].values()), checks["patches"]


def test_rafts_weights_are_listed_and_measure(checks):
    raft = checks["raft"]
    assert raft["listed"] and raft["differs"]
    assert "does not hold RAFT's weights" in raft["other weights"]
    assert "not in models/optical_flow" in raft["gone"]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("without a motion", ["a MODEL without a motion", "Connect Apply Motion"]),
        ("twice", ["a flow guides already", "in front of the other"]),
        ("twice, a source between", ["a flow guides already"]),
        ("fewer frames", ["3 frames of 12x12", "the source's 5 of 12x12"]),
        ("another size", ["5 frames of 12x12", "the source's 5 of 12x8"]),
        ("not a number", ["frames", "Expected"]),
        ("a mask", ["frames", "Expected"]),
    ],
)
def test_what_does_not_fit_is_refused_in_words(checks, case, words):
    assert all(word in checks["refusals"][case] for word in words), checks["refusals"][case]
