"""Counts what every operation of some code computes and moves, on tensors without values (PyTorch's meta device).

An operation reads its inputs from memory once and writes its outputs once. Group norms read their input twice: for the
statistics, and to apply them. Views move nothing. Attention counts as one fused kernel that keeps its inputs, its
output and one number per row and head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

KINDS = {
    "matrix product": ("mm", "addmm", "bmm", "baddbmm"),
    "convolution": ("convolution", "convolution_backward"),
    "norm": ("native_group_norm", "native_group_norm_backward", "native_layer_norm", "native_layer_norm_backward"),
    "layout copy": ("clone", "copy_", "contiguous"),
    "joining": ("cat", "stack"),
    "attention": ("attention", "attention_backward"),
    "optimizer": ("_fused_adamw_", "_foreach_norm", "_foreach_mul_"),
}
TWICE_READ = ("native_group_norm", "native_group_norm_backward")
NOTHING_MOVED = ("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "_local_scalar_dense")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One call of one operation.

    Args:
        name, kind: what it is called in PyTorch, and what is it in the tables.
        module: where it is called, as `Traffic.where` says.
        flops, moved: floating point operations, and bytes read and written.
        itemsize: bytes of each of its numbers.
    """

    name: str
    kind: str
    module: str
    flops: int
    moved: int
    itemsize: int


@dataclass
class Traffic(TorchDispatchMode):
    """Lists the operations that run inside it.

    Args:
        where: says where in a network the running operation is called.
    """

    where: Callable[[], str] = lambda: ""
    operations: list[Operation] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func._schema.name.removeprefix("aten::")
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if name not in NOTHING_MOVED:
            moved = bytes_moved(name, inputs, outputs, in_place=func._schema.is_mutable)
            formula = flop_registry.get(func._overloadpacket)
            flops = formula(*args, **kwargs, out_val=result) if formula else 0
            if moved or flops:
                self.add(name, flops, moved, [*inputs, *outputs])
        return result

    def add(self, name: str, flops: int, moved: int, tensors: list[Tensor]) -> None:
        """Adds one operation to the list."""
        floats = [tensor for tensor in tensors if tensor.is_floating_point()]
        kind = "cast" if name == "_to_copy" and len({tensor.dtype for tensor in floats}) > 1 else kind_of(name)
        itemsize = max((tensor.itemsize for tensor in floats), default=4)
        self.operations.append(
            Operation(name=name, kind=kind, module=self.where(), flops=flops, moved=moved, itemsize=itemsize)
        )

    def attention(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """A stand-in for attention of query `b h n e` over key and value `b h m e` that counts as one kernel."""
        output: Tensor = FusedAttention.apply(query, key, value)
        flops, tensors = products(query, key), [query, key, value, output]
        self.add("attention", flops, sum(map(size_of, tensors)), tensors)

        def count_backward(grad: Tensor) -> None:
            # The kernel computes the scores again, and two products for each one of the forward pass.
            moved = [*tensors, grad, query, key, value]
            self.add("attention_backward", flops * 5 // 2, sum(map(size_of, moved)), moved)

        if output.requires_grad:
            output.register_hook(count_backward)
        return output


def kind_of(name: str) -> str:
    """The kind of an operation by its name; all that only go through values once are "elementwise"."""
    if name == "_to_copy":
        return "layout copy"
    return next((kind for kind, names in KINDS.items() if name in names), "elementwise")


def bytes_moved(name: str, inputs: list[Tensor], outputs: list[Tensor], *, in_place: bool) -> int:
    """Bytes that an operation reads and writes; 0 if all it gives are views."""
    own = {tensor.untyped_storage()._cdata for tensor in inputs}
    made = [tensor for tensor in outputs if in_place or tensor.untyped_storage()._cdata not in own]
    if not made:
        return 0
    largest = max((size_of(tensor) for tensor in inputs), default=0)
    again = largest if name in TWICE_READ else 0
    return sum(size_of(tensor) for tensor in [*inputs, *made]) + again


def size_of(tensor: Tensor) -> int:
    """Bytes of a tensor's values; what is repeated by an expansion counts once."""
    shown = prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or size == 1)
    return shown * tensor.itemsize


class FusedAttention(torch.autograd.Function):
    """Takes the memory of a fused attention: query `b h n e`, key and value `b h m e`, to `b h n e`."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        output = torch.empty_like(query)
        sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, output, sums)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, *_ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None


def products(query: Tensor, key: Tensor) -> int:
    """Operations of the scores and of the weighted sums, forwards."""
    return 4 * query.numel() * key.shape[-2]
