"""One LoRA through the library and through ComfyUI's own LoraLoader, measured inside a ComfyUI process; prints JSON.

Usage: COMFYUI_PATH=... python lora_checks.py
"""

from __future__ import annotations

import json
import logging
import tempfile
from dataclasses import replace
from pathlib import Path

from host_checks import CHECKPOINT, DEMO, EDITED, core_motion, core_unet, far, make_motion

# After host_checks, which sets ComfyUI up.
import comfy.model_management  # isort: skip
import folder_paths  # isort: skip
import nodes  # isort: skip
import torch  # isort: skip
from safetensors.torch import save_file  # isort: skip
from torch import nn  # isort: skip
from tune_a_video_pack.tav_core.checkpoints.lora import apply_loras, load_lora  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip
from tune_a_video_pack.tav_core.tuning.motion import Motion, hash_base  # isort: skip

RANK, SCALE = 4, 0.7


class Heard(logging.Handler):
    """What core logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def random_lora() -> dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor]]:
    """The two matrices of every layer, convolutions too, by part and name."""
    generator, found = torch.Generator().manual_seed(8), {}
    for part in ("unet", "text_encoder"):
        for name, layer in getattr(CHECKPOINT, part).named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                out, kernel = layer.weight.shape[0], layer.weight.shape[1:]
                up = torch.randn(out, RANK, *[1] * (len(kernel) - 1), generator=generator)
                down = torch.randn(RANK, *kernel, generator=generator)
                # A fifth of the weight's own size, whatever that is.
                size = 0.2 * layer.weight.std() / RANK**0.5 / SCALE
                found[part, name.removeprefix("text_model.")] = size * up, down
    return found


def kohya(lora: dict) -> dict[str, torch.Tensor]:
    tensors = {}
    for (part, name), (up, down) in lora.items():
        start = "lora_unet_" if part == "unet" else "lora_te_text_model_"
        key = start + name.replace(".", "_")
        tensors |= {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down, f"{key}.alpha": torch.tensor(2.0)}
    return tensors


def diffusers(lora: dict) -> dict[str, torch.Tensor]:
    """As diffusers writes it. Of the attention's layers in the UNet, core knows the names of the oldest files alone."""
    tensors = {}
    for (part, name), (up, down) in lora.items():
        text = "text_model." * (part == "text_encoder" and name.startswith("encoder"))
        key, ends = f"{part}.{text}{name}", (".lora_B", ".lora_A")
        if part == "unet" and ".to_" in name:
            owner, _, last = key.removesuffix(".0").rpartition(".")
            key, ends = f"{owner}.processor.{last}", ("_lora.up", "_lora.down")
        tensors |= {f"{key}{ends[0]}.weight": up, f"{key}{ends[1]}.weight": down}
    return tensors


def of_base(motion: Motion, base_hash: str) -> Motion:
    """The motion as if it had been tuned on other weights."""
    return replace(motion, info=replace(motion.info, base_hash=base_hash))


def check(tensors: dict[str, torch.Tensor], folder: Path, name: str) -> dict[str, float | bool | list[str]]:
    """Text, epsilon and weights of both hosts with one file."""
    save_file(tensors, folder / name)
    heard = Heard()
    logging.getLogger().addHandler(heard)
    model, clip = nodes.LoraLoader().load_lora(DEMO.model, DEMO.clip, name, SCALE, SCALE)
    logging.getLogger().removeHandler(heard)
    ours = apply_loras(CHECKPOINT, [load_lora(folder / name, SCALE)])
    text = encode_prompt(ours, EDITED).text
    core_text = clip.encode_from_tokens_scheduled(clip.tokenize(EDITED))[0][0]
    noisy = torch.randn(1, 4, 12, 12, generator=torch.Generator().manual_seed(4))
    timestep = torch.tensor([400])
    comfy.model_management.load_models_gpu([model])
    core = model.model.diffusion_model(noisy, timesteps=timestep, context=core_text)
    predicted, plain = (c.unet(noisy, timestep, text).sample for c in (ours, CHECKPOINT))
    read = core_unet.read_unet(model, dtype=torch.float32, device=torch.device("cpu"))
    motion = make_motion(1)
    video = noisy[:, :, None].repeat(1, 1, 3, 1, 1)
    tuned = motion.apply_to(ours.unet)(video, timestep, text)
    core_tuned = motion.apply_to(read)(video, timestep, core_text)
    return {
        "text": far(text, core_text),
        "text_changed": far(text, encode_prompt(CHECKPOINT, EDITED).text),
        "epsilon": far(predicted, core),
        "epsilon_changed": far(predicted, plain),
        "tuned": far(tuned, core_tuned),
        "own_base": [
            core_motion.same_base(each, tuned_on)
            for tuned_on in (motion, of_base(motion, hash_base(read)), of_base(motion, "other"))
            for each in (DEMO.model, model)
        ],
        "same_base": hash_base(read) == hash_base(ours.unet) != hash_base(CHECKPOINT.unet),
        "not_loaded": [line for line in heard.lines if "not loaded" in line],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    # Core holds it in half precision, in which the LoRA would be rounded too.
    for layer in DEMO.clip.cond_stage_model.float().modules():
        # What ComfyUI casts to on the card, where it has DynamicVRAM.
        layer.weight_comfy_model_dtype = layer.bias_comfy_model_dtype = torch.float32
    with torch.inference_mode(), tempfile.TemporaryDirectory() as place:
        folder_paths.add_model_folder_path("loras", place)
        lora = random_lora()
        figures = {
            make.__name__: check(make(lora), Path(place), f"{make.__name__}.safetensors") for make in (kohya, diffusers)
        }
        print("RESULTS " + json.dumps(figures))
