"""What a graph shows, as tensors."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tests.comfyui.graphs import Graph, node
from tests.comfyui.server import Server, error_of

# A change of a pixel that can be seen, of 1.
SEEN = 0.02


def show(server: Server, graph: Graph, source: str) -> Tensor:
    """The pictures, `f h w 3` in [0, 1], that a node of a graph gives at its first output."""
    client = server.connect()
    history = client.run({**graph, "shown": node("PreviewImage", images=[source, 0])})
    client.close()
    assert error_of(history) == ""
    files = [server.base / "temp" / image["filename"] for image in history["outputs"]["shown"]["images"]]
    return torch.stack([torch.from_numpy(np.array(Image.open(file))) for file in files]) / 255


def all_frames_differ(one: Tensor, other: Tensor) -> bool:
    """Whether each frame has a pixel whose change can be seen."""
    return bool((one - other).abs().flatten(1).amax(1).min() > SEEN)
