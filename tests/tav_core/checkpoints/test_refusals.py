"""Refusals of checkpoints that are not taken: what was found, what is taken, why not, and what to do."""

from __future__ import annotations

import pytest

from tav_core.checkpoints.refusals import refuse_unet_config, wrong_family
from tav_core.errors import CheckpointError
from tav_core.models.families import SUPPORTED
from tav_core.models.unsupported import REFINER


def test_a_refusal_says_what_why_and_what_to_do(tmp_path):
    error = wrong_family(tmp_path, REFINER)
    assert (error.got, error.expected) == (f"Stable Diffusion XL's refiner: {tmp_path}", SUPPORTED)
    assert error.mend == f"{REFINER.why} {REFINER.mend}"
    error = wrong_family(tmp_path, REFINER, detail="SomePipeline", mend="Load another.")
    assert (error.got, error.mend) == (
        f"Stable Diffusion XL's refiner (SomePipeline): {tmp_path}",
        f"{REFINER.why} Load another.",
    )


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"addition_embed_type": "text_time", "cross_attention_dim": 1280}, "Stable Diffusion XL's refiner"),
        ({"class_embed_type": "projection"}, "class_embed_type 'projection'"),
        ({"in_channels": 9}, "an inpainting model"),
        ({"down_block_types": ["SimpleCrossAttnDownBlock2D"]}, "a SimpleCrossAttnDownBlock2D"),
    ],
)
def test_unet_configs_of_other_families_are_refused(tmp_path, sd1, settings, message):
    refuse_unet_config(tmp_path, sd1.unet.config)
    with pytest.raises(CheckpointError, match=message):
        refuse_unet_config(tmp_path, {**sd1.unet.config, **settings})
