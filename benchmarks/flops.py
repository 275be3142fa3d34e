"""How many floating point operations a stage needs; a multiply-add counts as two.

They are counted from the shapes of matrix products and convolutions, on tensors without values. Recomputation, by
gradient checkpointing or in the backward of a fused attention, is not counted: it only serves to save memory.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch.utils.flop_counter import FlopCounterMode

from tav_core.models.conditioning import as_conditioning
from tav_core.models.families import find_family
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.training_copy import copy_for_training

from .cases import Case
from .stages import TIMESTEP
from .workload import Workload


def stage_flops(case: Case) -> int:
    """Operations of a case's stage."""
    work = Workload(case=case, meta=True)
    steps = case.num_steps
    sums = {
        "forward": lambda: forward_flops(work),
        "guided-step": lambda: forward_flops(work, batch=2),
        "tune-step": lambda: tune_step_flops(work),
        "invert": lambda: steps * forward_flops(work),
        "edit": lambda: steps * forward_flops(work, batch=2),
        "encode": lambda: case.num_frames * encode_flops(work),
        "decode": lambda: case.num_frames * decode_flops(work),
    }
    repeats = {"encode": 1, "tune-step": case.tune_steps, "invert": 1, "edit": 1, "decode": 1}
    sums["job"] = lambda: sum(times * sums[stage]() for stage, times in repeats.items())
    return sums[case.stage]()


@torch.no_grad()
def forward_flops(work: Workload, *, batch: int = 1) -> int:
    """Operations of one prediction for a batch of videos."""
    latents = work.latents.expand(batch, *work.latents.shape[1:])
    context = as_conditioning(work.context).expand(batch)
    return count_flops(lambda: work.denoiser.unet(latents, TIMESTEP, context))


def tune_step_flops(work: Workload) -> int:
    """Operations of a forward pass, and of the backward pass that the trainable weights need."""
    rank = find_family(work.unet_2d.config).query_rank
    unet = copy_for_training(work.denoiser.unet, TuneConfig().modules, torch.float32, rank=rank)
    return count_flops(lambda: unet(work.latents, TIMESTEP, work.context).sum().backward())


@torch.no_grad()
def encode_flops(work: Workload) -> int:
    """Operations of the VAE to encode one frame; it encodes each frame separately."""
    frame = work.frames[:1].permute(0, 3, 1, 2)
    return count_flops(lambda: work.vae.encode(frame))


@torch.no_grad()
def decode_flops(work: Workload) -> int:
    """Operations of the VAE to decode one frame; it decodes each frame separately."""
    return count_flops(lambda: work.vae.decode(work.latents[:, :, 0]))


def count_flops(run: Callable[[], object]) -> int:
    """Operations of the matrix products, convolutions and attentions that a function calls."""
    counter = FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION)
    with counter:
        run()
    return counter.get_total_flops()


def attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *args, out_shape=None, **kwargs) -> int:
    """Operations for the scores and the weighted sums, from the shapes `b h n e`, `b h m e`, `b h m e`."""
    return 2 * prod(query) * key[-2] + 2 * prod(query[:-1]) * prod(value[-2:])


def attention_backward_flops(grad, query, key, value, *args, out_shape=None, **kwargs) -> int:
    """Two products for each one of the forward pass; the scores that the kernel recomputes are not counted."""
    return 2 * attention_flops(query, key, value)


# PyTorch counts its GPU kernels, but has no formulas for the CPU's.
CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops,
}
