"""How a host ends long work at once: every loop that may take seconds asks, before each part, whether to go on.

The host says what is asked, by `cancelled_by`; without a host nobody is asked. The library knows no host: a callable
that raises is all it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Item = TypeVar("Item")
_check: ContextVar[Callable[[], None] | None] = ContextVar("check", default=None)


@contextmanager
def cancelled_by(check: Callable[[], None]) -> Iterator[None]:
    """Within it, long work of this thread calls `check` several times per second.

    Args:
        check: raises if the user has cancelled; the work ends with this exception. It should take microseconds.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def check_cancelled() -> None:
    """Raises what the host raises if the user has cancelled."""
    if (check := _check.get()) is not None:
        check()


def cancellable(items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items, and checks before each whether the user has cancelled."""
    for item in items:
        check_cancelled()
        yield item


def check_in_backward(tensor: Tensor) -> Tensor:
    """The tensor itself; the backward pass, which runs no code of ours between layers, checks when it gets there."""
    check = _check.get()
    if check is not None and tensor.requires_grad:
        # On a GPU this runs in a thread of PyTorch's own, which has no value of `_check`.
        tensor.register_hook(lambda _: check())
    return tensor
