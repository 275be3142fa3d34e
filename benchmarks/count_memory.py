"""Counts the peak memory of a forward pass or a tuning step without computing it: `python -m benchmarks.count_memory`.

The library's own code runs on tensors without data (PyTorch's meta device), and every storage that is made or freed is
counted. Attention counts as a fused kernel that keeps its inputs, its output and one number per row and head.
Memory outside tensors is not counted: a GPU's context, kernels' workspaces, gaps between allocations.
The coefficients of `models/memory.py` and `tuning/memory_plan.py` in tav_core come from here.
"""

from __future__ import annotations

import argparse
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tav_core.denoisers.config import ControlConfig
from tav_core.denoisers.control import look_across_frames
from tav_core.denoisers.denoiser import Denoiser, UNetDenoiser
from tav_core.denoisers.flow_guided import FlowGuidedDenoiser
from tav_core.denoisers.residuals import ReadyControlNet
from tav_core.layouts import VAE_FACTOR
from tav_core.models.conditioning import NUM_SIZES, Conditioning
from tav_core.models.inflation import FrameCount
from tav_core.models.precision import DTYPE_NAMES, DTYPES
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.shared_weights import cast
from tav_core.models.traffic import FusedAttention
from tav_core.models.unet import InflatedUNet
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.memory_plan import ACTIVATIONS, ACTIVATIONS_XL, MemoryPlan, Recompute
from tav_core.tuning.training_run import TuningRun

from .sizes import SCHEDULER, SIZES, TEXT_TOKENS, Size, build_unet

# The widths in the ControlNets of Stable Diffusion.
HINT_WIDTHS = (16, 32, 96, 256)


class StorageCounter(TorchDispatchMode):
    """Adds up the bytes of all live storages: at present (`now`), and the most at any time (`peak`)."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.count(tensor)
        return result

    def count(self, tensor: Tensor) -> None:
        """Counts a tensor's storage until it is freed, and only once, however many views it has."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.sizes:
            return
        self.sizes[key] = storage.nbytes()
        self.now += self.sizes[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.free, key)

    def free(self, key: int) -> None:
        self.now -= self.sizes.pop(key, 0)


@contextmanager
def counting() -> Iterator[StorageCounter]:
    """Counts the memory of the code that runs inside."""
    with mock.patch.object(F, "scaled_dot_product_attention", FusedAttention.apply), StorageCounter() as counter:
        yield counter


def meta_denoiser(size: Size, dtype: torch.dtype) -> UNetDenoiser:
    """The model of a benchmark, without data."""
    with torch.device("meta"):
        unet = build_unet(size)
        inflated = InflatedUNet.from_2d(cast(unet, torch.device("meta"), dtype))
    return UNetDenoiser(unet=inflated, schedule=NoiseSchedule.from_config(SCHEDULER))


def meta_inputs(
    size: Size, num_frames: int, config: Mapping[str, Any], *, videos: int = 1
) -> tuple[Tensor, Conditioning]:
    """Latents `b 4 f h w` and what a UNet of this config is told, without data."""
    side = size.pixels // VAE_FACTOR
    latents = torch.empty((videos, 4, num_frames, side, side), device="meta")
    text = torch.empty((videos, TEXT_TOKENS, config["cross_attention_dim"]), device="meta")
    if config["addition_embed_type"] is None:
        return latents, Conditioning(text=text)
    sizes = config["addition_time_embed_dim"] * NUM_SIZES
    pooled = torch.empty((videos, config["projection_class_embeddings_input_dim"] - sizes), device="meta")
    told = torch.empty((videos, NUM_SIZES), dtype=torch.int64, device="meta")
    return latents, Conditioning(text=text, pooled_text=pooled, size_ids=told)


def with_controlnet(denoiser: UNetDenoiser, size: Size, num_frames: int, hint_widths: tuple[int, ...]) -> UNetDenoiser:
    """Adds a ControlNet to a model without data; its layers at picture resolution have the given widths."""
    from diffusers import ControlNetModel

    with torch.device("meta"):
        net = ControlNetModel.from_unet(
            denoiser.unet, conditioning_embedding_out_channels=hint_widths, load_weights_from_unet=False
        )
        net = cast(net, torch.device("meta"), denoiser.unet.dtype)
        hint = torch.empty((num_frames, 3, size.pixels, size.pixels), dtype=net.dtype)
    frames = FrameCount()
    net = look_across_frames(net, frames, "spatial", denoiser.unet.modes)
    control = ReadyControlNet(net=net, hint=hint, mask=None, config=ControlConfig(), frames=frames)
    return replace(denoiser, controls=(control,))


def with_flow(denoiser: UNetDenoiser, size: Size, num_frames: int) -> FlowGuidedDenoiser:
    """Adds flow guidance along paths that last from the first frame to the last, which needs the most memory."""
    side = size.pixels // VAE_FACTOR
    grids = (torch.arange((side >> level) ** 2).view(1, side >> level, side >> level) for level in range(4))
    return FlowGuidedDenoiser(denoiser=denoiser, paths=[grid.repeat(num_frames, 1, 1) for grid in grids])


def count_forward(
    size: Size,
    num_frames: int,
    dtype: torch.dtype,
    *,
    videos: int = 2,
    hint_widths: tuple[int, ...] = (),
    flow: bool = False,
) -> dict[str, int]:
    """Bytes of the weights, and at the peak of one prediction for a batch of videos (guidance needs two).

    Args:
        hint_widths: widths for `with_controlnet`; if empty, there is no ControlNet.
        flow: whether attention is guided by flow.
    """
    denoiser = meta_denoiser(size, dtype)
    if hint_widths:
        denoiser = with_controlnet(denoiser, size, num_frames, hint_widths)
    latents, context = meta_inputs(size, num_frames, denoiser.unet.config, videos=videos)
    whole: Denoiser = with_flow(denoiser, size, num_frames) if flow else denoiser
    with counting() as counter, torch.no_grad():
        for model in (denoiser.unet, *(control.net for control in denoiser.controls)):
            for parameter in model.parameters():
                counter.count(parameter)
        weights = counter.now
        whole.epsilon(latents, 500, context)
    return {"held": weights, "peak": counter.peak}


def meta_tuning(
    size: Size, num_frames: int, dtype: torch.dtype, recompute: Recompute
) -> tuple[Callable[[], TuningRun], Tensor]:
    """What sets up a tuning without data, and the latents of its clip."""
    denoiser = meta_denoiser(size, dtype)
    clip, context = meta_inputs(size, num_frames, denoiser.unet.config)
    config = TuneConfig(precision=DTYPE_NAMES[dtype])
    plan = MemoryPlan(recompute=recompute, needed=0, free=None)
    return partial(TuningRun, denoiser, clip, context, config=config, plan=plan), clip


def count_tuning(size: Size, num_frames: int, dtype: torch.dtype, *, recompute: Recompute) -> dict[str, int]:
    """Bytes held between steps, and at the peak of a tuning step (not the first one: it has no moments yet)."""
    set_up, clip = meta_tuning(size, num_frames, dtype, recompute)
    with counting() as counter, torch.enable_grad():
        run = set_up()
        for parameter in run.unet.parameters():
            counter.count(parameter)
        make_moments(run)
        counter.peak = held = counter.now
        run.loss(clip, torch.empty_like(clip), 500).backward()
        run.optimizer.step()
        run.optimizer.zero_grad()
    return {"held": held, "peak": counter.peak}


def make_moments(run: TuningRun) -> None:
    """Gives the optimizer the moments that a first step would, without computing that step."""
    for parameter in run.trainable.values():
        parameter.grad = torch.zeros_like(parameter)
    run.optimizer.step()
    run.optimizer.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="sd15")
    parser.add_argument("--pixels", type=int, help="width and height (default: the model's)")
    parser.add_argument("--num-frames", nargs="+", type=int, default=[24, 32])
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    args = parser.parse_args()
    print(f"{'frames':>6}  {'what':28}  {'held GiB':>8}  {'peak GiB':>8}")
    size = SIZES[args.size]
    size = replace(size, pixels=args.pixels or size.pixels)
    for num_frames in args.num_frames:
        for name, count in what_to_count(size, num_frames, DTYPES[args.dtype]).items():
            counted = count()
            print(
                f"{num_frames:6}  {name:28}  {counted['held'] / 2**30:8.2f}  {counted['peak'] / 2**30:8.2f}", flush=True
            )


def what_to_count(size: Size, num_frames: int, dtype: torch.dtype) -> dict[str, Callable[[], dict[str, int]]]:
    """All cases that the coefficients of `models/memory.py` and `tuning/memory_plan.py` describe."""
    tuning = partial(count_tuning, size, num_frames, dtype)
    with_net = partial(count_forward, size, num_frames, dtype, hint_widths=HINT_WIDTHS)
    is_xl = bool(size.unet and "addition_embed_type" in size.unet)
    options = ACTIVATIONS_XL if is_xl else ACTIVATIONS
    return {
        "sample": partial(count_forward, size, num_frames, dtype, videos=1),
        "sample, guided": partial(count_forward, size, num_frames, dtype),
        "sample, guided, flow": partial(count_forward, size, num_frames, dtype, flow=True),
        "sample, guided, ControlNet": with_net,
        **{f"tune, {r.what} {r.num_levels or 'all'}": partial(tuning, recompute=r) for r in options},
    }


if __name__ == "__main__":
    main()
