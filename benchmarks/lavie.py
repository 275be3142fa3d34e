"""What LaVie's three models need at the published sizes: `python -m benchmarks.lavie`.

It counts the memory, see count_memory.py. With `--device cuda`, it also runs one guided prediction of each, on random
weights, and tells its time and the most memory that tensors took. Guidance is on: two videos in a batch, but for
super-resolution, which predicts one after the other.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from tav_core.models.conditioning import Conditioning
from tav_core.models.lavie.inflate import inflate_base, inflate_interpolation
from tav_core.models.lavie.upscaler import UpscalerUNet
from tav_core.models.memory import estimate_sampling
from tav_core.models.precision import DTYPES
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.interpolate import interpolated_length
from tav_core.sampling.lavie_config import InterpolateConfig, TextToVideoConfig, UpscaleConfig

from .count_memory import counting
from .sizes import TEXT_TOKENS

SD1: dict[str, Any] = {"cross_attention_dim": 768, "attention_head_dim": 8}
X4: dict[str, Any] = {
    "in_channels": 7,
    "out_channels": 4,
    "block_out_channels": (256, 512, 512, 1024),
    "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
    "up_block_types": (*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
    "only_cross_attention": (True, True, True, False),
    "cross_attention_dim": 1024,
    "attention_head_dim": 8,
    "use_linear_projection": True,
    "num_class_embeds": 1000,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One of the three at its published size.

    Args:
        inflate: makes it from a 2-D UNet.
        config: of the 2-D UNet.
        num_frames: that it computes at once.
        height, width: of its latents.
        channels: that go beside the latents.
        videos: in a batch.
    """

    inflate: Callable[..., InflatedUNet]
    config: dict[str, Any]
    num_frames: int
    height: int
    width: int
    channels: int = 0
    videos: int = 2


def cases() -> dict[str, Case]:
    """The three models, with the defaults of their settings."""
    base = TextToVideoConfig()
    height, width = base.latent_size
    models = {
        "base": Case(inflate=inflate_base, config=SD1, num_frames=base.num_frames, height=height, width=width),
        "interpolation": Case(
            inflate=inflate_interpolation,
            config={**SD1, "in_channels": 8},
            num_frames=interpolated_length(InterpolateConfig().window),
            height=height,
            width=width,
            channels=4,
        ),
    }
    upscalers = {
        f"super-resolution, chunk {chunk}": Case(
            inflate=UpscalerUNet.from_2d,
            config=X4,
            num_frames=chunk,
            height=base.height,
            width=base.width,
            channels=3,
            videos=1,
        )
        for chunk in (UpscaleConfig().chunk, UpscaleConfig().chunk // 2)
    }
    return {**models, **upscalers}


def build(case: Case, dtype: torch.dtype, device: str) -> tuple[InflatedUNet, Tensor, Conditioning]:
    """A model with random weights, latents `b 4 f h w`, and what it is told."""
    with torch.device(device):
        unet = case.inflate(UNet2DConditionModel(**case.config).to(dtype=dtype)).eval().requires_grad_(False)
        size = (case.num_frames, case.height, case.width)
        latents = torch.randn((case.videos, 4, *size), dtype=dtype)
        text = torch.randn((case.videos, TEXT_TOKENS, case.config["cross_attention_dim"]), dtype=dtype)
        more = {"channels": torch.randn((case.videos, case.channels, *size), dtype=dtype)} if case.channels else {}
        if "num_class_embeds" in case.config:
            more["noise_level"] = torch.zeros(case.videos, dtype=torch.long)
    return unet, latents, Conditioning(text=text, **more)


@torch.no_grad()
def measure(case: Case, dtype: torch.dtype, device: str, *, runs: int = 3) -> dict[str, float]:
    """Seconds of one guided prediction, the median of some runs after a first one, and the most bytes of tensors."""
    unet, latents, context = build(case, dtype, device)
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(runs + 1):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(1 if case.videos > 1 else 2):
            unet(latents, 500, context)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return {"seconds": median(seconds[1:]), "peak": torch.cuda.max_memory_allocated()}


def count(case: Case, dtype: torch.dtype) -> dict[str, int]:
    """Bytes of the weights, at the peak of one guided prediction, and what `estimate_sampling` says that it needs."""
    unet, latents, context = build(case, dtype, "meta")
    with counting() as counter, torch.no_grad():
        for parameter in unet.parameters():
            counter.count(parameter)
        held = counter.now
        unet(latents, 500, context)
    estimate = estimate_sampling(unet, (1, *latents.shape[1:]), guided=case.videos > 1)
    return {"held": held, "peak": counter.peak, "estimate": estimate}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=DTYPES, default="fp16")
    parser.add_argument("--device", choices=("cuda",), help="also run a prediction of each there")
    args = parser.parse_args()
    print(f"{'model':25}  {'frames':>6}  {'latents':>8}  {'held GiB':>8}  {'peak GiB':>8}  {'estimated need GiB':>18}")
    for name, case in cases().items():
        counted = {what: size / 2**30 for what, size in count(case, DTYPES[args.dtype]).items()}
        latents = f"{case.width}x{case.height}"
        print(
            f"{name:25}  {case.num_frames:6}  {latents:>8}  {counted['held']:8.2f}  {counted['peak']:8.2f}  "
            f"{counted['estimate']:18.2f}",
            flush=True,
        )
        if args.device:
            measured = measure(case, DTYPES[args.dtype], args.device)
            torch.cuda.empty_cache()
            print(f"    measured: {measured['seconds']:.3f} s, {measured['peak'] / 2**30:.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
