"""A MODEL under DynamicVRAM against the same MODEL without it, in one ComfyUI process; prints JSON.

Usage: COMFYUI_PATH=... python dynamic_checks.py
"""

from __future__ import annotations

import gc
import json
import tempfile
import weakref
from pathlib import Path

from host_checks import DEMO, core_demo, core_motion, core_unet, far, make_motion, render

# After host_checks, which sets ComfyUI up.
import comfy.model_management  # isort: skip
import dynamic_vram  # isort: skip
import torch  # isort: skip
from lavie_files import write_lavie  # isort: skip
from tune_a_video_pack.nodes.core.lavie import load_base  # isort: skip

QUERY = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
NUM_MOTIONS = 5


def with_lora(model):
    """A clone with a LoRA on a weight that a motion changes too."""
    clone = model.clone()
    shape = model.model.state_dict()[QUERY].shape
    clone.add_patches({QUERY: ("diff", (0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(3)),))})
    return clone


def renders(model) -> list[torch.Tensor]:
    """Edits in an order in which each clone follows one that has other layers, or other patches: the model itself, a
    motion, the model, two motions, a motion on a LoRA, the LoRA, a motion after all was unloaded, the model.
    """
    one, two, lora = (
        core_motion.apply_motion(model, make_motion(1)),
        core_motion.apply_motion(model, make_motion(2)),
        with_lora(model),
    )
    on_lora = core_motion.apply_motion(lora, make_motion(1))
    found = [render(each) for each in (model, one, model, two, one, on_lora, lora)]
    comfy.model_management.unload_all_models()
    return [*found, render(one), render(model)]


def check_memory(model) -> dict[str, float]:
    """Motions that are applied one after the other: what they leave on the card, and in main memory."""
    taken, held = [], []
    for seed in range(NUM_MOTIONS):
        tuned = core_motion.apply_motion(model, make_motion(seed))
        (beside,) = tuned.get_additional_models()
        held.append(weakref.ref(beside.model))
        render(tuned)
        taken.append(sum(memory.taken for memory in model.model.dynamic_vbars.values()))
        del tuned, beside
    comfy.model_management.unload_all_models()
    gc.collect()
    return {"taken": taken, "kept": sum(each() is not None for each in held)}


def check_lavie() -> float:
    """LaVie's base with DynamicVRAM and without it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "base.safetensors"
        write_lavie(path, "base", library="tune_a_video_pack.tav_core")
        plain = render(load_base(path))
        dynamic_vram.emulate()
        return far(render(load_base(path)), plain)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode():
        expected = renders(DEMO.model)
        lavie = check_lavie()
        model = core_demo.load_demo().model
        results = {
            "dynamic": [DEMO.model.is_dynamic(), model.is_dynamic()],
            "renders": [far(got, want) for got, want in zip(renders(model), expected, strict=True)],
            "differ": far(expected[1], expected[0]),
            "lavie": lavie,
            "memory": check_memory(model),
            "read": all(
                torch.equal(tensor, core_unet.read_weights(with_lora(DEMO.model), torch.float32)[name])
                for name, tensor in core_unet.read_weights(with_lora(model), torch.float32).items()
            ),
        }
        print("RESULTS " + json.dumps(results))
