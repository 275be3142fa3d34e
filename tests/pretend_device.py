"""A second device without a card: tensors say that they are on it, compute on the CPU, and refuse to mix with others.

It takes the name of a device that PyTorch knows and needs no driver for. A tensor of it wraps one on the CPU, so values
can be read, losses compared and steps taken; what a real card refuses is refused: operations on tensors of two devices
(but for numbers, and for indices, which may be on the CPU), and reading memory without a copy to the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("lazy", 0)
# They take tensors of two devices.
COPIES = ("aten::copy_", "aten::_to_copy")
INDEXING = ("aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_")


class MixedDevicesError(RuntimeError):
    """Tensors of two devices met in one operation."""


class PretendTensor(torch.Tensor):
    """A tensor on the pretended device; `inner` holds its values on the CPU."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> PretendTensor:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
            requires_grad=inner.requires_grad,
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def __repr__(self, **kwargs) -> str:
        return f"PretendTensor({self.inner!r})"

    def __deepcopy__(self, memo: dict) -> torch.Tensor:
        if id(self) not in memo:
            copied = PretendTensor(self.inner.detach().clone())
            is_parameter = isinstance(self, torch.nn.Parameter)
            copied.requires_grad_(self.requires_grad)
            memo[id(self)] = torch.nn.Parameter(copied, self.requires_grad) if is_parameter else copied
        return memo[id(self)]

    def tolist(self) -> list:
        """PyTorch reads any card's tensors so, but not those of a subclass."""
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class PretendMode(TorchDispatchMode):
    """Within it, tensors can be made on the pretended device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class FromNumbers(TorchFunctionMode):
    """Makes tensors of numbers on the CPU and copies them: PyTorch does so too, but where no mode can see it."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and not isinstance(args[0], PretendTensor):
            device = kwargs.pop("device", None)
            made = func(*args, **kwargs)
            return made if device is None else made.to(device)
        if func is torch.Tensor.new_tensor:
            like, data = args
            return torch.tensor(data, dtype=kwargs.get("dtype", like.dtype)).to(kwargs.get("device", like.device))
        if func is torch.Tensor.__getitem__:
            args = args[0], tree_map_only(list, torch.tensor, args[1], is_leaf=lambda part: isinstance(part, list))
        return func(*args, **kwargs)


def run(func, args, kwargs):
    """Runs an operation on the values, and says where its results are."""
    name = func._schema.name
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = any(isinstance(tensor, PretendTensor) for tensor in tensors)
    if name not in COPIES:
        check_one_device(name, tensors)
    asked = kwargs.get("device")
    if not there and asked is None:
        return func(*args, **kwargs)
    if asked is not None:
        there = torch.device(asked).type == DEVICE.type
        kwargs = {**kwargs, "device": torch.device("cpu") if there else asked}
    if name == "aten::copy_":
        there = isinstance(args[0], PretendTensor)
    inner_args, inner_kwargs = tree_map_only(PretendTensor, lambda tensor: tensor.inner, (args, kwargs))
    result = func(*inner_args, **inner_kwargs)
    if not there:
        return result
    # What is changed in place, or returned as it is, stays the same object.
    known = {id(tensor.inner): tensor for tensor in tensors if isinstance(tensor, PretendTensor)}
    return tree_map_only(
        torch.Tensor, lambda tensor: known[id(tensor)] if id(tensor) in known else PretendTensor(tensor), result
    )


def check_one_device(name: str, tensors: list[torch.Tensor]) -> None:
    """Raises `MixedDevicesError` where a card would refuse the tensors of an operation."""
    if not any(isinstance(tensor, PretendTensor) for tensor in tensors):
        return
    strange = [t for t in tensors if not isinstance(t, PretendTensor) and t.ndim and t.device.type != "meta"]
    if name in INDEXING:
        strange = [tensor for tensor in strange if tensor.is_floating_point()]
    if strange:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in strange)
        raise MixedDevicesError(f"{name} of tensors on {DEVICE}, with others on the CPU of shape {shapes}")


@contextmanager
def pretended() -> Iterator[str]:
    """Within it there is a second device, whose name it gives."""
    # What PyTorch's gradient checkpointing looks up, to keep states of random numbers that it is not asked to keep.
    module = SimpleNamespace(get_rng_state=None, set_rng_state=None, device=None)
    with mock.patch.object(torch, DEVICE.type, module, create=True), PretendMode(), FromNumbers():
        yield DEVICE.type
