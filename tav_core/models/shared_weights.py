"""Module trees that share their weights with another one, and changes to a whole tree."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def copy_structure(module: ModuleT) -> ModuleT:
    """A copy of a module tree that shares the storage of all weights, but no modules or flags."""
    shared: dict[int, Any] = {}
    for parameter in module.parameters():
        shared[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=parameter.requires_grad)
    shared.update({id(buffer): buffer for buffer in module.buffers()})
    shared.update({id(empty): type(empty)() for empty in empty_tables(module)})
    return copy.deepcopy(module, shared)


def empty_tables(module: nn.Module) -> Iterator[dict[Any, Any]]:
    """The empty tables of a tree, such as those of hooks: on a dozen per module, deepcopy spends half its time."""
    for part in module.modules():
        for value in vars(part).values():
            if type(value) in (dict, OrderedDict) and not value:
                yield value


def cast(module: ModuleT, device: torch.device, dtype: torch.dtype) -> ModuleT:
    """Moves and casts a model in place.

    It uses torch's own `to`: that of diffusers 0.42 warns at each cast about modules to keep in float32, but names
    none.
    """
    return nn.Module.to(module, device, dtype)


def replace_modules(root: nn.Module, cls: type[nn.Module], make: Callable[[Any], nn.Module]) -> None:
    """Replaces every module of a class below `root`; parameter names do not change."""
    places: Iterable[tuple[nn.Module, str]] = [
        (owner, name) for owner in root.modules() for name, child in owner.named_children() if isinstance(child, cls)
    ]
    for owner, name in places:
        setattr(owner, name, make(getattr(owner, name)))
