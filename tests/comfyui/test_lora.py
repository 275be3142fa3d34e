"""`--lora` against ComfyUI's own LoraLoader: the figures of lora_checks.py, held to their bounds."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def figures(run_checks):
    """What lora_checks.py measured."""
    return run_checks("lora_checks.py")


@pytest.mark.parametrize("layout", ["kohya", "diffusers"])
def test_a_lora_gives_the_same_in_the_library_as_in_core(figures, layout):
    found = figures[layout]
    assert found["not_loaded"] == []
    assert max(found["text"], found["epsilon"], found["tuned"]) < 1e-4
    assert min(found["text_changed"], found["epsilon_changed"]) > 0.05


@pytest.mark.parametrize("layout", ["kohya", "diffusers"])
def test_a_model_with_a_lora_is_the_same_base_in_both_and_another_than_without(figures, layout):
    assert figures[layout]["same_base"]


@pytest.mark.parametrize("layout", ["kohya", "diffusers"])
def test_a_motion_is_at_home_on_the_model_it_was_tuned_on_whether_or_not_that_had_loras(figures, layout):
    """Of a motion tuned without the LoRA, with it, and on other weights: on the model without it, and with it."""
    assert figures[layout]["own_base"] == [True, True, False, True, False, False]
