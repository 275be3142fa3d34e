"""The processes that train together, one per GPU: each takes its share of a step's clips, and gradients are summed.

`accelerate launch` or `torchrun` starts them, and the package accelerate connects them. Without it there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...errors import ConfigError


class Processes:
    """One process alone.

    Attributes:
        index, count: which process this is, of how many.
        device: where this process trains; None if it may choose.
    """

    index: int = 0
    count: int = 1
    device: torch.device | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and tells of progress."""
        return self.index == 0

    def share(self, total: int) -> range:
        """Which of a step's clips are this process's."""
        return range(self.index, total, self.count)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes; each has to call it."""
        return tensor

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Makes the gradients of each process the sum over all."""

    def any(self, told: bool) -> bool:
        """Whether one of the processes was told so; each has to call it."""
        return told


class Accelerated(Processes):
    """Several processes, connected by accelerate."""

    def __init__(self) -> None:
        from accelerate import Accelerator

        self.accelerator = Accelerator()
        self.index, self.count = self.accelerator.process_index, self.accelerator.num_processes
        self.device = self.accelerator.device

    def sum(self, tensor: Tensor) -> Tensor:
        return self.accelerator.reduce(tensor, reduction="sum")

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = self.sum(parameter.grad)

    def any(self, told: bool) -> bool:
        return bool(self.sum(torch.tensor(float(told), device=self.device)) > 0)


def join_processes() -> Processes:
    """The processes that were launched together with this one; accelerate is imported only if there are others.

    Raises:
        ConfigError: there are others, and accelerate is not installed or does not connect them.
    """
    launched = os.environ.get("WORLD_SIZE", "1")
    if launched in ("", "0", "1"):
        return Processes()
    try:
        joined = Accelerated()
    except ImportError as error:
        raise ConfigError(
            got=f"{launched} processes, without the package accelerate",
            expected="accelerate, which connects them",
            mend="Run pip install accelerate, or train in one process.",
        ) from error
    if joined.count == 1:
        # Each would train all clips, and write the same files.
        raise ConfigError(
            got=f"WORLD_SIZE {launched}, and one process that accelerate knows of",
            expected="processes that accelerate connects: one for each GPU",
            mend="Start them with accelerate launch, or unset WORLD_SIZE to train in one process.",
        )
    return joined
