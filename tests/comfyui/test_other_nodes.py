"""Core's nodes with ours in a real ComfyUI: the figures of other_nodes_checks.py, held to their bounds."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def measured(run_checks):
    """What other_nodes_checks.py measured."""
    return run_checks("other_nodes_checks.py")


@pytest.mark.parametrize("name", ["PerturbedAttentionGuidance", "PerpNeg", "RescaleCFG"])
def test_what_is_about_guidance_leaves_an_inversion_as_it_is(measured, name):
    """PerpNeg made it not a number, as the empty prompt at both of its ends does."""
    assert measured["guidance"][name] == 0


def test_self_attention_guidance_can_be_inverted_with(measured):
    """It ended in an AttributeError. Its own attention, of single frames, stays in the middle block."""
    assert measured["guidance"]["SelfAttentionGuidance"] < 0.01


def test_what_is_about_guidance_still_changes_the_edit(measured):
    assert measured["guidance_stays"] > 0.01


@pytest.mark.parametrize("what", ["alphas", "timesteps", "finite", "hash"])
def test_a_distilled_model_has_all_timesteps_of_its_training(measured, what):
    """With the 50 levels that core lists for LCM, 50 steps were refused, and tuning counted timesteps from 0 to 49."""
    assert measured["distilled"][what]


def test_a_source_is_injected_into_a_distilled_model(measured):
    """It ended in an IndexError."""
    assert measured["distilled"]["injected"] == "nothing was refused"


@pytest.mark.parametrize("name", ["x0", "img_to_img", "edm", "flow", "applied"])
def test_sampling_of_another_model_is_refused(measured, name):
    """It was read as an SD schedule, and the inversion ended in noise without a word."""
    assert "a MODEL whose sampling a node has set to ModelSampling" in measured["other_levels"][name]


@pytest.mark.parametrize("name", ["v_prediction", "zsnr"])
def test_what_stable_diffusion_has_is_taken(measured, name):
    assert measured["other_levels"][name] == "nothing was refused"


@pytest.mark.parametrize("what", ["frames", "size", "channels"])
def test_inverted_noise_names_the_latent_that_does_not_fit(measured, what):
    said = measured["noise"][what]
    assert "with the noise of DDIM Invert" in said and "(5, 4, 12, 12)" in said


def test_inverted_noise_takes_one_empty_frame_for_all(measured):
    assert measured["noise"]["one_frame"]


def test_a_model_in_fp8_renders_a_motion(measured):
    assert measured["small_weights"]["finite"]
    assert set(measured["small_weights"]["temporal"]) == {"torch.float16"}


def test_a_model_in_fp8_is_not_tuned_and_the_message_says_what_made_it_so(measured):
    said = measured["small_weights"]["said"]
    assert "float8_e4m3fn" in said and "weight_dtype default" in said and "--fp8_...-unet" in said


def test_a_model_with_scales_takes_a_motion_and_is_not_tuned(measured):
    found = measured["scaled_weights"]
    assert found["same_base"] is False and "quantised MODEL: with scales" in found["said"]
