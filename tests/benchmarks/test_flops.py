"""benchmarks/flops.py against counts by hand, and against what is called when real tensors are computed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks import flops
from benchmarks.cases import Case
from benchmarks.workload import Workload


def test_a_convolution_by_hand():
    images, weight = torch.randn(2, 3, 8, 8), torch.randn(5, 3, 3, 3)
    assert flops.count_flops(lambda: F.conv2d(images, weight, padding=1)) == 2 * (2 * 5 * 8 * 8) * 3 * 9


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_by_hand(device):
    query = torch.randn(2, 4, 10, 16, device=device, requires_grad=True)
    key, value = (torch.randn(2, 4, 7, 16, device=device, requires_grad=True) for _ in range(2))
    product = 2 * 2 * 4 * 10 * 7 * 16
    assert flops.count_flops(lambda: F.scaled_dot_product_attention(query, key, value)) == 2 * product
    both = flops.count_flops(lambda: F.scaled_dot_product_attention(query, key, value).sum().backward())
    assert both == (2 + 4) * product


COUNTS = [flops.forward_flops, flops.tune_step_flops, flops.encode_flops, flops.decode_flops]


@pytest.mark.parametrize("count", COUNTS)
def test_shapes_alone_give_the_count_of_real_tensors(small_case, count):
    """With plain attention: a fused one gives gradients of keys and values that nothing asks for."""
    case = small_case(num_frames=3)
    with sdpa_kernel(SDPBackend.MATH):
        real = count(Workload(case=case))
    assert count(Workload(case=case, meta=True)) == real > 1e7


@pytest.mark.parametrize(
    ("stage", "flops_of_stage"),
    [("guided-step", 200), ("invert", 300), ("edit", 600), ("encode", 4 * 7), ("job", 28 + 5 * 1000 + 900 + 4 * 9)],
)
def test_stages_add_up(small_case, monkeypatch, stage, flops_of_stage):
    monkeypatch.setattr(flops, "forward_flops", lambda work, batch=1: 100 * batch)
    for name, counted in (("tune_step_flops", 1000), ("encode_flops", 7), ("decode_flops", 9)):
        monkeypatch.setattr(flops, name, lambda work, counted=counted: counted)
    assert flops.stage_flops(small_case(stage=stage, num_steps=3, tune_steps=5, num_frames=4)) == flops_of_stage


def test_recomputing_is_not_counted(small_case):
    case = small_case(stage="tune-step")
    assert flops.stage_flops(case) == flops.stage_flops(replace(case, recompute="layers"))


def test_stable_diffusion_at_its_own_size():
    """0.80 TFLOP a frame for the 2-D UNet, 0.12 for the keys of a second frame, 0.05 for the temporal attention."""
    case = Case(size="sd15", num_frames=32, pixels=512)
    assert flops.stage_flops(case) / 32 == pytest.approx(0.97e12, rel=0.005)
    work = Workload(case=replace(case, num_frames=1), meta=True)
    with torch.no_grad():
        image = flops.count_flops(lambda: work.unet_2d(work.latents[:, :, 0], 500, work.context))
    assert image == pytest.approx(0.80e12, rel=0.005)
