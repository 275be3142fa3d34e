"""Animate and Animation Start in a real ComfyUI: the figures of animation_checks.py, held to their bounds."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def checks(run_checks):
    """What animation_checks.py measured."""
    return run_checks("animation_checks.py")


def test_the_node_gives_the_librarys_frames(checks):
    made = checks["animate"]
    assert made["frames"] and made["mask"] and made["shows"]


def test_both_hosts_sample_the_same_video_from_an_animation(checks):
    start = checks["start"]
    assert start["edit"] < 1e-4
    # The stock sampler keeps the noise of the last timestep in other units.
    assert start["stock"] < 1e-3
    assert start["held_differs"] > 0.01
    assert start["steps"] == 6


def test_the_model_that_came_in_is_not_changed(checks):
    assert checks["start"]["unchanged"]


def test_wrong_inputs_are_told_with_what_to_do(checks):
    made, start = checks["animate"], checks["start"]
    assert "an empty mask" in made["unpainted"]
    assert "a path of one point" in made["one_point"]
    assert "Use 8 steps in both" in start["other_steps"]
    assert "Cross-Frame Model" in start["plain_model"]
    assert "an animation of one frame" in start["one_frame"]
    assert "the latent of the same Animation Start" in start["other_latent"]


def test_an_inversion_is_stretched_as_in_the_library(checks):
    stretched = checks["stretch"]
    assert stretched["frames"] == 15
    assert stretched["library"] == 0
    assert stretched["noise"] < 1e-5
    assert "frames" in stretched["fewer"]
    assert stretched["nearest"]
    assert "Connect frames" in stretched["blocked"]
    assert "3 frames for an inversion of 8" in stretched["other_frames"]
