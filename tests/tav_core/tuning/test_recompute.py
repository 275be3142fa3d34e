"""tav_core/tuning/recompute.py: the same gradients with less kept, under the same names."""

from __future__ import annotations

import pytest
import torch

from tav_core.models import inflation
from tav_core.models.shared_weights import copy_structure
from tav_core.models.unet import InflatedUNet
from tav_core.tuning.recompute import Recomputed, set_recompute
from tests.tav_core.lavie_models import small_lavie

PLANS = [("blocks", 0), ("blocks", 1), ("layers", 0), ("layers", 1)]


@pytest.fixture
def unet(unet_2d):
    inflated = InflatedUNet.from_2d(unet_2d)
    with torch.no_grad():
        for name, parameter in inflated.named_parameters():
            if "attn_temp.to_out" in name:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    return inflated


def gradients(unet, context, **shape):
    unet = unet.requires_grad_(False)
    trained = {n: p.requires_grad_(True) for n, p in unet.named_parameters() if "to_q" in n or "attn_temp" in n}
    latents = torch.randn(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    loss = unet(latents, 500, context).square().mean()
    return dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))


@pytest.mark.parametrize(("what", "num_levels"), PLANS)
def test_same_gradients(unet, context, what, num_levels, monkeypatch):
    plain = gradients(copy_structure(unet), context)
    monkeypatch.setattr(inflation, "CHUNK_TOKENS", 24)
    recomputing = copy_structure(unet)
    set_recompute(recomputing, what, num_levels=num_levels)
    assert sum(isinstance(module, Recomputed) for module in recomputing.modules()) > 0
    for name, gradient in gradients(recomputing, context).items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("what", ["blocks", "layers"])
def test_same_gradients_where_temporal_attention_stands_inside_the_block(what):
    """LaVie's feed-forward runs the temporal attention first, also where it is recomputed."""
    unet = small_lavie("base")
    text = torch.randn(1, 5, 64, generator=torch.Generator().manual_seed(2))
    plain, recomputing = gradients(copy_structure(unet), text), copy_structure(unet)
    set_recompute(recomputing, what)
    for name, gradient in gradients(recomputing, text).items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-4, atol=1e-7)


def test_names_and_weights_stay(unet):
    recomputing = copy_structure(unet)
    set_recompute(recomputing, "layers")
    assert recomputing.state_dict().keys() == unet.state_dict().keys()
    assert all(torch.equal(t, unet.state_dict()[n]) for n, t in recomputing.state_dict().items())
    assert not any(isinstance(module, Recomputed) for module in unet.modules())


def test_finest_levels_first(unet):
    recomputing = copy_structure(unet)
    set_recompute(recomputing, "blocks", num_levels=1)
    paths = {name for name, module in recomputing.named_modules() if isinstance(module, Recomputed)}
    last = len(unet.up_blocks) - 1
    assert paths and all(path.startswith(("down_blocks.0.", f"up_blocks.{last}.")) for path in paths)


def test_less_is_kept(unet, context):
    def kept(unet):
        sizes = []
        unet = unet.requires_grad_(False)
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_("attn_temp" in name)
        pack = lambda tensor: sizes.append(tensor.nbytes) or tensor  # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            unet(torch.randn(1, 4, 4, 8, 8), 500, context)
        return sum(sizes)

    blocks = copy_structure(unet)
    set_recompute(blocks, "blocks")
    assert kept(blocks) < 0.4 * kept(copy_structure(unet))
