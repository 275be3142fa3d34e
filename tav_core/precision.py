"""Names of dtypes, and which one to compute in."""

from __future__ import annotations

import torch

from .errors import ConfigError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def resolve_precision(precision: str, device: torch.device, weights: torch.dtype) -> torch.dtype:
    """The dtype to compute in.

    Raises:
        ConfigError: fp32 is asked for, and the frozen weights are in half precision.
    """
    if precision == "auto":
        if device.type == "cuda":
            precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        else:
            precision = {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(weights, "fp32")
    if precision == "fp32" and weights != torch.float32:
        raise ConfigError(
            got=f"precision fp32 for a model loaded in {weights}",
            expected="a model in float32, or precision fp16 or bf16",
            mend="Load the checkpoint with dtype=torch.float32.",
        )
    return DTYPES[precision]
