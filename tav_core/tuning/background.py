"""Saves a run while it goes on: its tensors are copied at once, and the copies are written in another thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from torch import Tensor, empty_like

from ..errors import explain_out_of_memory

# The most of a run's time that copying may take: a run whose steps are shorter is saved after more of them.
SHARE = 0.02


class BackgroundSaver:
    """Writes copies of tensors, one set at a time. To be used in a `with` block, which ends when all is written."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="save")
        self.writing: Future[None] | None = None
        # Filled again for each save, because new memory takes longer than the copying.
        self.copies: dict[str, Tensor] = {}
        self.rest_until = 0.0

    def __enter__(self) -> BackgroundSaver:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()
        self.copies.clear()

    def start(self, tensors: Mapping[str, Tensor], write: Callable[[Mapping[str, Tensor]], None]) -> None:
        """Copies tensors and begins to write them. Does nothing while a write goes on or the last copying is too near.

        Raises:
            OutputError: the last write failed.
            OutOfMemory: there is no room for the copies.
        """
        began = time.monotonic()
        if began < self.rest_until or (self.writing and not self.writing.done()):
            return
        self.check()
        with explain_out_of_memory("copying the state of the run", "Close other programs."):
            self.copy(tensors)
        self.rest_until = began + (time.monotonic() - began) / SHARE
        self.writing = self.pool.submit(write, self.copies)

    def copy(self, tensors: Mapping[str, Tensor]) -> None:
        """Copies tensors to the CPU, into the memory of the copies before where they have the same shape."""
        before, self.copies = self.copies, {}
        for name, tensor in tensors.items():
            kept = before.get(name)
            if kept is None or kept.shape != tensor.shape:
                kept = empty_like(tensor, device="cpu", requires_grad=False)
            self.copies[name] = kept
            self.copies[name].copy_(tensor.detach())

    def check(self) -> None:
        """Raises what a write that has ended failed with."""
        if self.writing and self.writing.done():
            ended, self.writing = self.writing, None
            ended.result()

    def settle(self) -> None:
        """Waits until the last write has ended, well or badly."""
        if self.writing:
            wait([self.writing])
            self.writing = None
