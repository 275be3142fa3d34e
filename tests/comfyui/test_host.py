"""nodes/core/motion.py and its neighbours in a real ComfyUI: the figures of host_checks.py, held to their bounds."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def host(run_checks):
    """What host_checks.py measured."""
    return run_checks("host_checks.py")


def test_the_demo_model_in_core_is_the_one_in_diffusers(host):
    parts = host["parts"]
    assert parts["unet_read_back_equal"] and parts["hash_equal"]
    assert max(parts["text"], parts["latents"], parts["pixels"]) < 2e-5


def test_weights_and_long_prompts_are_those_of_clip_text_encode(host):
    assert len(host["prompts"]) == 6 and max(host["prompts"].values()) < 2e-5


def test_core_host_diffusers_host_and_stock_ddim_agree(host):
    agreement = host["agreement"]
    assert agreement["trajectory"] < 5e-5
    assert agreement["edit"] < 5e-5
    assert agreement["mixed"] < 5e-5 and agreement["mixed_differs"] > 1e-2
    # core ends at sigma_0 without dividing by sqrt(1 + sigma_0^2), and sigma_0 is 0.029.
    assert agreement["stock_ddim"] < 2e-3


def test_taking_the_motion_off_gives_the_model_back_bit_for_bit(host):
    assert host["patches"]["weights_back"] and host["patches"]["plain_back"]


def test_two_motions_on_one_model_do_not_touch_each_other(host):
    patches = host["patches"]
    assert patches["two_differ"] > 0.01 and patches["motion_changes"] > 0.01
    assert patches["first_again"] and patches["while_loaded"]


def test_a_lora_counts_before_and_after_the_motion(host):
    patches = host["patches"]
    assert patches["lora_key_found"]
    assert patches["lora_changes"] > 0.01
    assert patches["lora_order"] < 1e-5
    assert patches["lora_read_once"] < 1e-6


def test_a_motion_that_changes_nothing_changes_nothing(host):
    assert host["patches"]["one_frame"] < 1e-5
    assert host["patches"]["nothing_left"] < 1e-5


@pytest.mark.parametrize("mode", ["spatial", "first", "sparse_causal", "sparse_causal_k", "causal", "full"])
def test_each_frame_sees_the_frames_that_its_mode_names(host, mode):
    assert host["modes"][mode]


def test_a_controlnet_works_on_a_batch_of_frames_frame_by_frame(host):
    assert host["stock"]["control_changes"] > 1e-3
    assert host["stock"]["control_by_frame"] > 1e-4


def test_stock_samplers_and_a_noise_mask_work(host):
    stock = host["stock"]
    assert all(stock[f"sampler_{name}"] for name in ("ddim", "euler", "dpmpp_2m", "uni_pc"))
    assert stock["outside_mask"] < 5e-3


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("SDXL", ["a motion tuned on", "as in this model", "tune again"]),
        (
            "another architecture",
            ["Stable Diffusion 1.x", "cross_attention_dim 768", "cross_attention_dim 128", "tune again"],
        ),
        ("twice", ["motion on it already", "Connect Apply Motion to the loader"]),
        ("without temporal weights", ["without temporal weights", "tune again"]),
        ("a mask", ["noise mask", "KSampler"]),
        ("a 5-D latent", ["latent of shape (1, 5, 4, 12, 12)", "f 4 h w"]),
    ],
)
def test_what_does_not_fit_is_refused_in_words(host, case, words):
    assert all(word in host["refusals"][case] for word in words), host["refusals"][case]
