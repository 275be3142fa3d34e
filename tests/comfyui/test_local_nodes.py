"""Sample Edit's mask and Composite Edit in a real ComfyUI: the figures of local_checks.py, held to their bounds."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def local(run_checks):
    """What local_checks.py measured."""
    return run_checks("local_checks.py")


def test_a_masked_edit_agrees_between_core_host_and_diffusers_host(local):
    assert local["sampling"]["edit"] < 5e-5
    assert local["sampling"]["wide_edit"] < 5e-5
    assert local["sampling"]["wide_differs"] > 1e-2
    assert local["sampling"]["added"] < 5e-5
    assert local["sampling"]["added_differs"] > 1e-2


def test_prompts_that_core_gives_masks_are_local_prompts(local):
    """Conditioning (Set Mask) and Conditioning (Combine), with a mask for each frame."""
    assert local["prompts"]["edit"] < 5e-5
    assert min(local["prompts"]["by_frame"], local["prompts"]["changes"]) > 1e-2


def test_outside_the_mask_are_the_clips_latents(local):
    assert local["sampling"]["outside"] < 1e-6
    assert local["sampling"]["plain_outside"] > 1e-2
    assert local["sampling"]["inside_changes"] > 0


def test_a_mask_of_ones_is_no_mask_and_one_without_a_frame_axis_is_for_all(local):
    assert local["sampling"]["ones_equal"] and local["sampling"]["bare_equal"]


def test_a_composite_is_exact_inside_outside_and_in_time(local):
    exact = {name: same for name, same in local["composite"].items() if name != "refused"}
    assert all(exact.values()), exact


@pytest.mark.parametrize(
    ("part", "case", "words"),
    [
        ("sampling", "trajectory", ["mask without a trajectory", "Connect the trajectory of DDIM Invert"]),
        ("sampling", "other clip", ["(12, 6)", "(12, 12)", "same node"]),
        ("sampling", "resample alone", ["resample 2 without a mask", "set resample to 1"]),
        ("sampling", "size", ["64x64 pixels", "96x96"]),
        ("sampling", "frames", ["mask of 3 frames for a clip of 5"]),
        ("composite", "fewer masks", ["mask of 2 frames for a clip of 5"]),
        ("composite", "fewer frames", ["(5, 96, 96, 3)", "(2, 96, 96, 3)"]),
        ("composite", "black", ["0 everywhere", "invert the mask"]),
        ("composite", "no such frame", ["frames 9 to 4", "in a clip of 5"]),
    ],
)
def test_what_does_not_fit_is_refused_in_words(local, part, case, words):
    told = local[part]["refused"][case]
    assert all(word in told for word in words), told
