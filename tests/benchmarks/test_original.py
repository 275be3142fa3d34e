"""benchmarks/original.py on a stand-in for a checkout, which imports what the original imports."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import original
from tav_core.errors import ConfigError

UNET = """
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.modeling_utils import ModelMixin
from diffusers.models.attention import AdaLayerNorm, CrossAttention, FeedForward
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.utils import BaseOutput, logging
from diffusers.utils.import_utils import is_xformers_available


class UNet3DConditionModel(ModelMixin, ConfigMixin):
    @register_to_config
    def __init__(self, down_block_types=(), cross_attention_dim=1):
        super().__init__()
        self.block_types = down_block_types
        self.attention = CrossAttention(query_dim=16, cross_attention_dim=cross_attention_dim, heads=2, dim_head=8)
        self.attention.gradient_checkpointing = False

    def forward(self, sample, timestep, encoder_hidden_states, return_dict=True):
        return (self.attention(sample, encoder_hidden_states),)
"""


@pytest.fixture
def checkout(tmp_path):
    """A folder laid out as the original's."""
    path = tmp_path / original.UNET_FILE
    path.parent.mkdir(parents=True)
    path.write_text(UNET)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("tuneavideo") or name == "diffusers.modeling_utils":
            del sys.modules[name]


@pytest.fixture
def parts():
    """A UNet's config and weights, as far as the stand-in has them."""
    torch.manual_seed(0)
    config = {"down_block_types": ["DownBlock2D"], "cross_attention_dim": 12, "unknown": 3}
    owner = nn.Module()
    owner.attention = original.CrossAttention(16, 12, heads=2, dim_head=8)
    return SimpleNamespace(config=config), owner


def test_a_checkout_is_loaded_on_our_weights(checkout, parts):
    unet, inflated = parts
    loaded = original.OriginalUNet(checkout, unet, inflated)
    assert loaded.unet.block_types == ["DownBlock3D"]
    expected = {name: tensor.data_ptr() for name, tensor in inflated.state_dict().items()}
    assert {name: tensor.data_ptr() for name, tensor in loaded.unet.state_dict().items()} == expected
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    loaded.enable_gradient_checkpointing()
    assert loaded.unet.attention.gradient_checkpointing
    assert str(checkout) not in sys.path


@torch.no_grad()
def test_the_attention_that_stands_in_is_pytorchs(checkout, parts, close):
    unet, inflated = parts
    tokens, text = torch.randn(3, 5, 16), torch.randn(3, 4, 12)
    got = original.OriginalUNet(checkout, unet, inflated)(tokens, 500, text)
    attention = inflated.attention
    query, key, value = (
        layer(x).unflatten(2, (2, 8)).transpose(1, 2)
        for layer, x in ((attention.to_q, tokens), (attention.to_k, text), (attention.to_v, text))
    )
    attended = nn.functional.scaled_dot_product_attention(query, key, value)
    close(got, attention.to_out[0](attended.transpose(1, 2).flatten(2)), 1e-5)


def test_a_folder_without_it_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="a checkout of the original"):
        original.load_class(tmp_path)
