"""Every way of computing attention that a CPU has, against the original's outputs."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.training_run import TuningRun

KERNELS = {"flash": SDPBackend.FLASH_ATTENTION, "math": SDPBackend.MATH}


def written_out(query, key, value):
    """What xformers computes, with its signature: `b n h e` over `b m h e`. It has no kernels for a CPU."""
    scores = torch.einsum("bnhe,bmhe->bhnm", query * query.shape[-1] ** -0.5, key)
    return torch.einsum("bhnm,bmhe->bnhe", scores.softmax(-1), value)


@pytest.fixture(params=[*KERNELS, "xformers"])
def on_backend(request, denoiser, monkeypatch):
    """The denoiser, on one backend; a stand-in for xformers must have been called."""
    calls = []
    if request.param == "xformers":
        ops = SimpleNamespace(memory_efficient_attention=lambda *args, attn_bias: calls.append(1) or written_out(*args))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
        monkeypatch.setitem(sys.modules, "xformers", SimpleNamespace(ops=ops))
        monkeypatch.setitem(sys.modules, "xformers.ops", ops)
        denoiser.unet.set_modes(attention="sparse_causal", group_norm="clip", backend="xformers")
        yield denoiser
        assert calls
    else:
        with sdpa_kernel(KERNELS[request.param]):
            yield denoiser


@pytest.mark.parametrize("size", ["8x8", "7x10"])
@torch.no_grad()
def test_forward(on_backend, goldens, close, size):
    tensors = goldens("unet")
    got = on_backend.unet(tensors[f"unet.f5.{size}.in"], 481, tensors["ctx.edit"])
    close(got, tensors[f"unet.f5.{size}.t481.out"], 2e-5)


def test_inversion_and_sampling(on_backend, goldens, close):
    ddim, contexts = goldens("ddim"), goldens("unet")
    close(invert(on_backend, ddim["x0"], contexts["ctx.empty"], num_steps=10).latents, ddim["inv10.trajectory"], 1e-5)
    config = EditConfig(num_steps=10, guidance_scale=7.5)
    sampled = edit(on_backend, ddim["inv10.final"], contexts["ctx.edit"], contexts["ctx.empty"], config=config)
    close(sampled, ddim["sample10.g7.5.trajectory"][-1], 5e-5)


def test_gradients(on_backend, goldens, meta, close):
    io = goldens("train_io")
    timestep = meta["train_no_gradient_checkpointing"]["timesteps"][0]
    run = TuningRun(on_backend, io["step0.latents"], goldens("unet")["ctx.src"], config=TuneConfig(recompute="layers"))
    run.loss(io["step0.latents"], io["step0.noise"], timestep).backward()
    for name, parameter in run.trainable.items():
        close(parameter.grad, goldens("train_all")[f"grad0.{name}"], 2e-4, name)
