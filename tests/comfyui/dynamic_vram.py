"""ComfyUI's DynamicVRAM on a machine without a graphics card, where ComfyUI itself turns it off.

On NVIDIA cards, current ComfyUI has it on by default, so it is what most users have. `emulate` turns it on for the CPU.
ComfyUI's own code then holds the models: its patcher, its layers without weights, and what it puts back when. Stand-ins
take the place of comfy-aimdo: of the memory on the card, and of the copies that are made to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

CUSTOM_NODE = """import sys
sys.path.insert(0, {folder!r})
import dynamic_vram
dynamic_vram.emulate()
NODE_CLASS_MAPPINGS = {{}}
"""
PARAMETERS = ("weight", "bias")


def can_emulate(comfy: Path) -> bool:
    """Whether a ComfyUI has DynamicVRAM."""
    return "class ModelPatcherDynamic" in (comfy / "comfy" / "model_patcher.py").read_text(encoding="utf-8")


def add_to(custom_nodes: Path) -> None:
    """Makes a server emulate it that has not started yet."""
    code = CUSTOM_NODE.format(folder=str(Path(__file__).parent))
    (custom_nodes / "emulate_dynamic_vram.py").write_text(code, encoding="utf-8")


class HostBuffer:
    """Pinned memory, of which nothing is ever asked for here but its size."""

    def __init__(self, size: int, *_: int, **__: bool) -> None:
        self.size = size

    def truncate(self, size: int, **_: bool) -> None:
        self.size = size


class DeviceMemory:
    """A model's range of addresses on the card. What is taken from it is never given back, as in comfy-aimdo."""

    def __init__(self, size: int) -> None:
        self.size, self.taken, self.times_freed = size, 0, 0

    def prioritize(self) -> None:
        """Nothing competes for it here."""

    def alloc(self, num_bytes: int) -> tuple[DeviceMemory, int, int]:
        if self.taken + num_bytes > self.size:
            raise MemoryError("VBAR OOM")
        self.taken += num_bytes
        return self, self.taken - num_bytes, num_bytes

    def loaded_size(self) -> int:
        return self.taken

    def free_memory(self, num_bytes: float) -> int:
        """Frees everything: whatever was copied to it must be copied again."""
        self.times_freed += 1
        return self.taken


def emulate() -> None:
    """Turns DynamicVRAM on in this process, for models that are loaded from now on."""
    import comfy.memory_management
    import comfy.model_patcher
    import comfy.ops
    import comfy.utils
    import comfy_aimdo.host_buffer
    import comfy_aimdo.model_vbar
    import safetensors

    dynamic = comfy.model_patcher.ModelPatcherDynamic
    plain_cast = comfy.ops.cast_bias_weight

    def memory_of(patcher: Any, create: bool = False) -> DeviceMemory | None:
        held = patcher.model.dynamic_vbars
        if create and patcher.load_device not in held:
            held[patcher.load_device] = DeviceMemory(10 * patcher.model_size())
        return held.get(patcher.load_device)

    def free(patcher: Any, device_to: Any, memory_to_free: float = 0, force_patch_weights: bool = False) -> float:
        memory = memory_of(patcher)
        return (memory.free_memory(memory_to_free) if memory else 0) + patcher.restore_loaded_backups()

    def cast(layer: Any, input: Any = None, dtype: Any = None, device: Any = None, bias_dtype: Any = None, **how: Any):
        if not hasattr(layer, "_v"):
            return plain_cast(layer, input, dtype, device, bias_dtype, **how)
        # An embedding gives no input, and no dtype if its weight's own will do.
        dtype = dtype or (layer.weight if input is None else input).dtype
        copy_to_card(layer, how.get("compute_dtype") or dtype)
        cast_to = zip(PARAMETERS, (dtype, bias_dtype or dtype), strict=True)
        weight, bias = (held_on_card(layer, name, kind) for name, kind in cast_to)
        return (weight, bias, (None, None, None)) if how.get("offloadable") else (weight, bias)

    def load_safetensors(path: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118

    comfy.memory_management.aimdo_enabled = True
    comfy.model_patcher.CoreModelPatcher = dynamic
    # Its own gives the other patcher for a CPU.
    dynamic.__new__ = lambda cls, *_, **__: object.__new__(cls)
    dynamic._vbar_get, dynamic.partially_unload = memory_of, free
    comfy.ops.cast_bias_weight, comfy.utils.load_safetensors = cast, load_safetensors
    comfy_aimdo.host_buffer.HostBuffer = HostBuffer
    comfy_aimdo.model_vbar.vbar_unpin = lambda place: None
    comfy_aimdo.model_vbar.vbars_analyze = lambda device=None: 0
    comfy_aimdo.model_vbar.vbars_reset_watermark_limits = lambda: None


def copy_to_card(layer: Any, compute_dtype: torch.dtype) -> None:
    """Copies a layer's weights, with the patches on them, unless they are there already and still right."""
    memory, *_ = layer._v
    # ComfyUI sets the signature to None when the patches have changed.
    if layer._v_signature == memory.times_freed:
        return
    for name in PARAMETERS:
        weight, patch = getattr(layer, name), getattr(layer, f"{name}_lowvram_function", None)
        if weight is not None:
            kept = getattr(weight, "_model_dtype", weight.dtype)
            weight = weight.to(kept, copy=True)
            weight = weight if patch is None else patch(weight.to(compute_dtype)).to(kept)
        setattr(layer, f"_v_{name}", weight)
    layer._v_signature = memory.times_freed


def held_on_card(layer: Any, name: str, dtype: torch.dtype) -> torch.Tensor | None:
    """A layer's weight as it is on the card, in a dtype."""
    weight = getattr(layer, f"_v_{name}")
    if weight is not None:
        weight = weight.to(dtype)
        for change in getattr(layer, f"{name}_function", []):
            weight = change(weight)
    return weight
