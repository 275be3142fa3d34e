"""The options of flow-guided attention in an edit."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...denoisers.config import FlowConfig
from .settings import add_settings


def add_flow(parser: argparse.ArgumentParser) -> None:
    """`--flow-guided`, and each setting's name after `--flow-`."""
    group = parser.add_argument_group("flow guidance", "frames agree along the motion of the source (FLATTEN)")
    group.add_argument(
        "--flow-guided",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="let tokens attend along the optical flow of the clip that was inverted; needs OpenCV or RAFT",
    )
    group.add_argument(
        "--flow-weights",
        type=Path,
        help="torchvision's file of RAFT's weights, to measure the flow by RAFT; needs torchvision (default: by DIS)",
    )
    add_settings(group, FlowConfig, prefix="flow-")
