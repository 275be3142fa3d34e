"""Names of dtypes, defaults, the dtype to compute in, and trainable weights in another one than the model's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from .inflation import recast

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def resolve_precision(precision: str, device: torch.device, weights: torch.dtype) -> torch.dtype:
    """The dtype to compute in.

    Raises:
        ConfigError: fp32 is asked for, and the frozen weights are in half precision.
    """
    if precision == "auto":
        if device.type == "cuda":
            precision = "bf16" if computes_bfloat16(device) else "fp16"
        else:
            precision = DTYPE_NAMES.get(weights, "fp32")
    if precision == "fp32" and weights != torch.float32:
        raise ConfigError(
            got=f"precision fp32 for a model loaded in {weights}",
            expected="a model in float32, or precision fp16 or bf16",
            mend="Load the checkpoint with dtype=torch.float32.",
        )
    return DTYPES[precision]


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a card computes in bfloat16 itself. Cards before Ampere, such as the RTX 2060 and T4, do so by way of
    float32, which is slow, and PyTorch says yes to them unless it is asked in this way (pytorch/pytorch#148322).
    """
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Makes float32 and the CPU PyTorch's defaults for a while, for what others build without saying what of.

    A notebook may have called `torch.set_default_dtype` or `torch.set_default_device`.
    """
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float32)
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)


class MasterWeights(nn.Module):
    """A mixin for a module that holds float32 weights and computes with copies of them in another dtype.

    Autocast would do this too, but it also runs the norms in float32, which takes twice their memory, and casts the
    frozen weights again in every pass.
    """

    compute_dtype: torch.dtype

    @property
    def weight(self) -> Tensor:
        weight = self._parameters["weight"]
        assert weight is not None, "only modules with a weight are recast to this class"
        return weight.to(self.compute_dtype)

    @property
    def bias(self) -> Tensor | None:
        bias = self._parameters.get("bias")
        return None if bias is None else bias.to(self.compute_dtype)


def hold_masters(root: nn.Module, path: str, *, source: nn.Module) -> None:
    """Makes the module at `path` in `root`, and all modules below it, hold float32 copies of `source`'s weights.

    The copies take gradients; the modules still compute in their dtype.
    """
    for name, module in list(root.get_submodule(path).named_modules(prefix=path)):
        given = source.get_submodule(name)._parameters
        if not any(parameter is not None for parameter in given.values()):
            continue
        if not isinstance(module, MasterWeights):
            cls = type(f"Master{type(module).__name__}", (MasterWeights, type(module)), {})
            module = recast(module, cls, compute_dtype=next(module.parameters(recurse=False)).dtype)
            owner, _, attribute = name.rpartition(".")
            setattr(root.get_submodule(owner), attribute, module)
        for key, parameter in given.items():
            if parameter is not None:
                master = parameter.detach().to(torch.float32, copy=True)
                module._parameters[key] = nn.Parameter(master, requires_grad=True)
