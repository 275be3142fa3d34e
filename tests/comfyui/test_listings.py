"""Lists of files in a real ComfyUI: what cannot be read is left out, and never keeps the pack from loading."""

from __future__ import annotations

import pytest

from tests.comfyui.server import Server


@pytest.fixture(scope="module")
def measured(run_checks):
    """What listing_checks.py found."""
    return run_checks("listing_checks.py")


def test_what_cannot_be_looked_at_is_left_out(measured):
    assert measured["locked"] == [[], False, False]


def test_a_name_that_comes_over_a_wire_is_not_looked_up(measured):
    assert measured["wired"] == [True, "gone", "gone", ""]


def test_a_checkpoint_without_a_vae_is_refused_in_words(measured):
    assert measured["no VAE"] == ["CheckpointError"] * 2


def test_the_demos_mask_needs_no_opencv(measured):
    assert measured["mask"] == [8, 128, 128]


def test_a_missing_input_folder_leaves_the_pack_as_it_is(comfyui, tmp_path):
    server = Server(*comfyui, tmp_path, "--input-directory", f"{tmp_path / 'nowhere'}")
    try:
        nodes = server.wait_ready().get("/object_info")
    finally:
        server.stop()
    assert {"TAVOneShotTune", "TAVLoadClip", "TAVLoadClips"} <= set(nodes), server.log_text()[-3000:]
