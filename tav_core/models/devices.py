"""Which device and which dtype a run computes in, from what the user asks for and what the machine has."""

from __future__ import annotations

import torch

from ..errors import ConfigError
from .precision import DTYPES, resolve_precision


def find_device(name: str | None) -> str:
    """The device with this name, or the best one available.

    Raises:
        ConfigError: there is no such device, or this PyTorch cannot use it.
    """
    try:
        torch.empty(0, device=name or best_device())
    # A PyTorch without CUDA raises AssertionError; otherwise it is a RuntimeError.
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            got=f"device {name!r}, which PyTorch cannot use here ({str(error).splitlines()[0][:80]})",
            expected="cuda, mps or cpu, if this machine has it",
            mend="Leave --device out to use the best one available.",
        ) from error
    return name or best_device()


def best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_dtype(device: str | None, dtype: str | None, *, precision: str = "fp16") -> torch.dtype:
    """The dtype of a model's weights.

    Args:
        device: its name; None for the best one.
        dtype: "fp32", "fp16" or "bf16", if the user asks for one.
        precision: that of the computation, which decides on a GPU; on a CPU, weights are float32.
    """
    name = find_device(device)
    if dtype:
        return DTYPES[dtype]
    return torch.float32 if name == "cpu" else resolve_precision(precision, torch.device(name), torch.float32)
