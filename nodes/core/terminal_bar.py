"""A bar in ComfyUI's terminal for what takes long, as core's own samplers show one."""

from __future__ import annotations

import comfy.utils
from tqdm import tqdm


def terminal_bar(name: str, total: int, done: int = 0) -> tqdm:
    """A bar of `total` steps, of which `done` were done earlier; none where ComfyUI's own bars are turned off."""
    return tqdm(total=total, initial=done, desc=name, unit="step", disable=not comfy.utils.PROGRESS_BAR_ENABLED)
