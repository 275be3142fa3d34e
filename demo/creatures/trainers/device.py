"""Where the trainers compute: on a GPU if there is one, which takes minutes, or else on the CPU, which takes days."""

from __future__ import annotations

import torch

from ...trainers.common import speed_up_group_norm

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def prepare_device() -> None:
    """Sets this process up for fast training on `DEVICE`."""
    if DEVICE.type == "cpu":
        speed_up_group_norm()
    # TensorFloat32, which the convolutions of cuDNN use anyway.
    torch.set_float32_matmul_precision("high")
