"""Cancel is heard within two seconds: what a node runs asks ComfyUI, many times per second, whether to go on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ...tav_core.cancelling import cancelled_by, check_cancelled
from ...tav_core.errors import OutOfMemory

if TYPE_CHECKING:
    from torch import nn

P, Output = ParamSpec("P"), TypeVar("Output")


def interruptible(execute: Callable[P, Output]) -> Callable[P, Output]:
    """Decorates a node's `execute`, under `classmethod`: the library's long loops ask ComfyUI while it runs.

    If memory runs out, ComfyUI's models are unloaded. ComfyUI does so itself where PyTorch's own error reaches it.
    """

    @functools.wraps(execute)
    def run(*args: P.args, **given: P.kwargs) -> Output:
        import comfy.model_management

        try:
            with cancelled_by(comfy.model_management.throw_exception_if_processing_interrupted):
                return execute(*args, **given)
        except OutOfMemory:
            comfy.model_management.unload_all_models()
            raise

    return run


@contextmanager
def heard_inside(model: nn.Module) -> Iterator[None]:
    """Within it, every layer of a model asks: ComfyUI 0.8 asks between the steps of a sampler alone."""
    hooks = [layer.register_forward_pre_hook(lambda *_: check_cancelled()) for layer in model.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
