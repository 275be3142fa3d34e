"""nodes/core/windows.py in a real ComfyUI: the figures of window_checks.py, held to their bounds."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def windows(run_checks):
    """What window_checks.py measured."""
    return run_checks("window_checks.py")


def test_long_clips_agree_between_core_host_diffusers_host_and_stock_ddim(windows):
    assert windows["trajectory"] < 5e-5
    assert windows["edit"] < 5e-5
    assert windows["stock_ddim"] < 2e-3
    assert windows["from_whole"] > 1e-3


def test_windows_bound_what_the_model_sees(windows):
    # Four frames and frame 0, twice for guidance.
    assert windows["largest_batch"] == 10


def test_a_clip_that_fits_into_a_window_is_bit_identical(windows):
    assert windows["fits_equal"] and windows["inverts_equal"]


def test_windows_slice_controlnets_and_masks(windows):
    assert windows["windows"] == 3
    assert windows["conditions"] < 1e-5
    assert windows["conditions_count"] > 1e-4


def test_windows_want_a_motion(windows):
    assert "Connect Apply Motion" in windows["without_motion"]


def test_free_noise_is_the_librarys_and_stock_ddim_renders_from_it(windows):
    assert windows["free_noise"] == 0
    assert windows["free_noise_rendered"] < 2e-3
