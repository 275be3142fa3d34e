"""ComfyUI's own way to hold a model, of which it has two.

DynamicVRAM, the default on NVIDIA cards in current ComfyUI, has a patcher of its own. It leaves weights in main
memory, and casts each when its layer runs. Its layers have no weights until a state dict brings them.
"""

from __future__ import annotations

from typing import TypeVar

import comfy.model_patcher
import torch
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def core_patcher() -> type[comfy.model_patcher.ModelPatcher]:
    """The patcher class that ComfyUI uses on this machine."""
    module = comfy.model_patcher
    return getattr(module, "CoreModelPatcher", module.ModelPatcher)


def give_weights(module: ModuleT) -> ModuleT:
    """The module itself, whose layers that wait for weights are given some to be filled in, in the dtype that they are
    made for. With DynamicVRAM, ComfyUI's `Linear` and `Embedding` wait.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and layer.weight is None:
            layer.weight = empty(layer, layer.out_features, layer.in_features)
            layer.bias = empty(layer, layer.out_features) if layer.comfy_need_lazy_init_bias else None
        elif isinstance(layer, nn.Embedding) and layer.weight is None:
            layer.weight = empty(layer, layer.num_embeddings, layer.embedding_dim)
    return module


def kept_dtype(layer: nn.Module) -> torch.dtype:
    """The dtype for a layer beside another one: that in which ComfyUI keeps the other's weights on the device (in main
    memory, they may have their file's), and float16 for types of one byte, which would round a motion away.
    """
    dtype = getattr(layer, "weight_comfy_model_dtype", None) or layer.weight.dtype
    return dtype if dtype.itemsize > 1 else torch.float16


def empty(layer: nn.Module, *shape: int) -> nn.Parameter:
    """A weight of a layer of ComfyUI, not filled."""
    return nn.Parameter(torch.empty(shape, dtype=layer.weight_comfy_model_dtype), requires_grad=False)
