"""The registry of families: what is known of each by its config, at its official size and at others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tav_core.models.families import (
    ANY_FAMILY,
    ARCHITECTURE,
    FAMILIES,
    OPTIONAL_ARCHITECTURE,
    SD1,
    SD2,
    SDXL,
    SUPPORTED,
    describe_architecture,
    find_family,
    join_titles,
    list_text_widths,
    name_architecture,
    title_by_text_width,
)
from tav_core.models.schedule import PREDICTION_TYPES


def test_families_can_be_told_apart_and_their_predictions_are_known():
    for field in ("name", "title", "text_width", "text_prefix"):
        assert len({getattr(family, field) for family in FAMILIES}) == len(FAMILIES)
    told = {(family.linear_projection, family.added_conditions) for family in FAMILIES}
    assert len(told) == len(FAMILIES)
    assert all(set(family.predictions) <= set(PREDICTION_TYPES) for family in FAMILIES)
    assert (SD1.usual_prediction, SD2.usual_prediction) == ("epsilon", "epsilon")


def test_families_in_words():
    assert ANY_FAMILY == "Stable Diffusion 1.x, 2.x or XL" and ANY_FAMILY in SUPPORTED
    assert join_titles([SD2]) == "Stable Diffusion 2.x"
    assert join_titles([SD1, SD2, SD2]) == "Stable Diffusion 1.x, 2.x or 2.x"
    assert list_text_widths() == "1.x attends to text of width 768, 2.x of 1024, XL of 2048"


@pytest.mark.parametrize("family, parts", [(SD1, "sd1"), (SD2, "sd2"), (SDXL, "sdxl")])
def test_a_unet_of_any_size_has_its_family(request, family, parts):
    config = request.getfixturevalue(parts).unet.config
    assert find_family(config) is family
    own = "-".join(map(str, config.block_out_channels))
    assert name_architecture(config) == f"{family.name}-{own}-text{config.cross_attention_dim}"
    official = {**config, "block_out_channels": list(family.widths), "cross_attention_dim": family.text_width}
    assert name_architecture(official) == family.name
    heads = config.attention_head_dim
    assert family.attention_heads(config.block_out_channels) == (heads if isinstance(heads, int) else list(heads))


def test_what_most_unets_lack_is_recorded_only_where_there_is_some(sd2, sdxl):
    told = describe_architecture(sdxl.unet)
    assert tuple(told) == (*ARCHITECTURE, *OPTIONAL_ARCHITECTURE)
    assert (told["transformer_layers_per_block"], told["addition_embed_type"]) == ([1, 2, 3], "text_time")
    alike = SimpleNamespace(config={**sd2.unet.config, "transformer_layers_per_block": (1, 1)})
    assert describe_architecture(alike) == describe_architecture(sd2.unet)


def test_an_architecture_is_plain_json(sd2):
    told = describe_architecture(sd2.unet)
    assert tuple(told) == ARCHITECTURE
    assert told["block_out_channels"] == list(sd2.unet.config.block_out_channels)


@pytest.mark.parametrize(
    "width, title",
    [
        (768, "Stable Diffusion 1.x"),
        (1024, "Stable Diffusion 2.x"),
        (2048, "Stable Diffusion XL"),
        (32, "a model of another size"),
    ]
    + [(value, "a model of another size") for value in (None, [], {}, [768], "None")],
)
def test_titles_go_by_the_width_of_the_text_whatever_a_file_says(width, title):
    assert title_by_text_width({"cross_attention_dim": width}) == title
    assert title_by_text_width({}) == "a model of another size"
