"""A MODEL under DynamicVRAM against the same MODEL without it, in one ComfyUI process; prints JSON.

Usage: COMFYUI_PATH=... python dynamic_checks.py
"""

from __future__ import annotations

import gc
import json
import tempfile
import weakref
from pathlib import Path

from host_checks import DEMO, core_demo, core_motion, core_unet, far, make_motion, refusal, render

# After host_checks, which sets ComfyUI up.
import comfy.model_management  # isort: skip
import dynamic_vram  # isort: skip
import torch  # isort: skip
from lavie_files import write_lavie  # isort: skip
from tune_a_video_pack.nodes.core.interrupt import interruptible  # isort: skip
from tune_a_video_pack.nodes.core.lavie import load_base  # isort: skip
from tune_a_video_pack.tav_core.errors import explain_out_of_memory  # isort: skip

# A query, which a motion changes too; a group norm that spans a clip with it; and LaVie's norm before the feed-forward.
PATCHED = (
    "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight",
    "diffusion_model.input_blocks.1.0.in_layers.0.weight",
    "diffusion_model.input_blocks.1.1.transformer_blocks.0.norm3.weight",
)
NUM_MOTIONS = 5


def with_lora(model):
    """A clone with patches as a LoRA or a merge of models makes them."""
    clone, weights, generator = model.clone(), model.model.state_dict(), torch.Generator().manual_seed(3)
    draw = lambda name: 0.3 * torch.randn(weights[name].shape, generator=generator)  # noqa: E731
    clone.add_patches({name: ("diff", (draw(name),)) for name in PATCHED})
    return clone


def renders(model) -> list[torch.Tensor]:
    """Edits in an order in which each clone follows one that has other layers, or other patches: the model itself, a
    motion, the model, two motions, a motion on a LoRA, the LoRA; after all was unloaded, a motion on the LoRA twice,
    one that is applied while another is loaded, and the model.
    """
    one, two, lora = (
        core_motion.apply_motion(model, make_motion(1)),
        core_motion.apply_motion(model, make_motion(2)),
        with_lora(model),
    )
    on_lora = core_motion.apply_motion(lora, make_motion(1))
    found = [render(each) for each in (model, one, model, two, one, on_lora, lora)]
    for _ in range(2):
        comfy.model_management.unload_all_models()
        found.append(render(on_lora))
    return [*found, render(core_motion.apply_motion(lora, make_motion(1))), render(model)]


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


def check_copies(model) -> dict[str, float | str]:
    """Another copy of the weights, as TorchCompileModel and hooks make it: under a motion, and in front of one."""
    tuned = core_motion.apply_motion(model, make_motion(1))
    said = refusal(lambda: tuned.clone(disable_dynamic=True))
    copied = core_motion.apply_motion(model.clone(disable_dynamic=True), make_motion(1))
    return {"said": said, "in_front": far(render(copied), render(tuned)), "dynamic": copied.is_dynamic()}


def check_memory_runs_out(model) -> dict[str, int]:
    """How many models ComfyUI holds before a node runs out of memory, and afterwards."""

    @interruptible
    def execute() -> None:
        with explain_out_of_memory("a test", "Nothing."):
            raise RuntimeError("CUDA error: out of memory")

    comfy.model_management.load_models_gpu([model])
    before = len(comfy.model_management.loaded_models())
    said = refusal(execute)
    return {"before": before, "after": len(comfy.model_management.loaded_models()), "said": said}


def check_lavie() -> list[float]:
    """LaVie's base with DynamicVRAM and without it: itself, and with patches, also after all was unloaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "base.safetensors"
        write_lavie(path, "base", library="tune_a_video_pack.tav_core")
        plain = lavie_renders(load_base(path))
        dynamic_vram.emulate()
        return [far(got, want) for got, want in zip(lavie_renders(load_base(path)), plain, strict=True)]


def lavie_renders(model) -> list[torch.Tensor]:
    """Edits by LaVie's base and by a clone with patches, before and after all was unloaded."""
    found = [render(model), render(with_lora(model))]
    comfy.model_management.unload_all_models()
    return [*found, render(with_lora(model)), render(model)]


def same_weights(one, other) -> bool:
    """Whether tuning would begin from the same weights on both MODELs."""
    first, second = (core_unet.read_weights(model, torch.float32) for model in (one, other))
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode():
        expected = renders(DEMO.model)
        lavie = check_lavie()
        model = core_demo.load_demo().model
        results = {
            "dynamic": [DEMO.model.is_dynamic(), model.is_dynamic()],
            "renders": [far(got, want) for got, want in zip(renders(model), expected, strict=True)],
            "differ": [far(expected[1], expected[0]), far(expected[5], expected[1])],
            # Once, then twice after all was unloaded, then applied while another clone was loaded.
            "same_again": [far(expected[i], expected[5]) for i in (7, 8, 9)],
            "lavie": lavie,
            "memory": check_memory(model),
            "copies": check_copies(model),
            "out_of_memory": check_memory_runs_out(model),
            "read": same_weights(with_lora(model), with_lora(DEMO.model)),
        }
        print("RESULTS " + json.dumps(results))
