"""One contestant's KSampler, in a process of its own: a step for every line of stdin, its figures as a line of stdout.

Usage: COMFYUI_PATH=... python -m benchmarks.peer_step '{"who": "ours", "num_frames": 8, "pixels": 256, ...}'

The checkpoint is Stable Diffusion 1.5's UNet with random weights, in the dtype that ComfyUI chooses for a CPU; the
values of weights do not change the time.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .in_comfyui import load_nodes

# After in_comfyui, which sets ComfyUI up.
import comfy.sample  # isort: skip
import folder_paths  # isort: skip
import torch  # isort: skip
from safetensors.torch import save_file  # isort: skip
from tune_a_video_pack.nodes.core import build, inflation, motion as core_motion, patchers, unet as core_unet  # isort: skip
from tune_a_video_pack.tav_core.models.families import ARCHITECTURE  # isort: skip
from tune_a_video_pack.tav_core.tuning.motion import Motion  # isort: skip
from tune_a_video_pack.tav_core.tuning.motion_info import MotionInfo, UNNAMED_MODES  # isort: skip
from .clocks import time_run  # isort: skip
from .peer_processes import MARK  # isort: skip
from .process_memory import held_bytes, peak_bytes, reset_peak  # isort: skip

# Stable Diffusion 1.5's in ComfyUI's terms, as its loader finds it in the published file.
SD15 = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "channel_mult": [1, 2, 4, 4],
    "num_res_blocks": [2, 2, 2, 2],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1] * 9 + [0] * 3,
    "transformer_depth_middle": 1,
    "context_dim": 768,
    "num_heads": 8,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "adm_in_channels": None,
    "use_temporal_attention": False,
    "legacy": False,
}
SCALING_FACTOR, TEXT_TOKENS, FACTOR = 0.18215, 77, 8
SAMPLER, SCHEDULER = "euler", "normal"
# The peer's names for its nodes' package, its class of motion modules, and the file of one.
PEER, MODULE, FILE = "animatediff_evolved", "motion_module_ad", "random_v15.safetensors"
Contestant = Callable[[Any, Path | None], Any]


def main() -> None:
    """Reads its task, builds the contestant, and steps until stdin ends."""
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    with torch.inference_mode():
        model = CONTESTANTS[task["who"]](build_checkpoint(), task["peer"] and Path(task["peer"]))
        gc.collect()
        held = held_bytes()
        reset_peak()
        say({"held_bytes": held})
        for _ in sys.stdin:
            seconds, cpu_seconds = time_run(lambda: sample(model, task), "cpu")
            say({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes()})


def say(figures: dict[str, Any]) -> None:
    print(MARK + json.dumps(figures), flush=True)


def sample(model: Any, task: dict[str, Any]) -> None:
    """What KSampler does: `num_steps` steps from noise, with guidance where cfg is not 1."""
    side = task["pixels"] // FACTOR
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn((task["num_frames"], 4, side, side), generator=generator)
    texts = [[[torch.randn((1, TEXT_TOKENS, SD15["context_dim"]), generator=generator), {}]] for _ in range(2)]
    steps, cfg = task["num_steps"], task["cfg"]
    samples = comfy.sample.sample(
        model, noise, steps, cfg, SAMPLER, SCHEDULER, *texts, torch.zeros_like(noise), disable_pbar=True, seed=1
    )
    assert samples.isfinite().all(), "values that are not numbers take another time"


def build_checkpoint() -> Any:
    """A core MODEL of Stable Diffusion 1.5's layout."""
    config = build.sd15_config(SD15, scaling_factor=SCALING_FACTOR)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "")
    fill(model.diffusion_model.state_dict())
    return patchers.core_patcher()(model, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


def fill(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Random values, in place, of a scale at which what goes through neither dies nor explodes."""
    generator = torch.Generator().manual_seed(0)
    for name, weight in weights.items():
        if name.endswith(".pe"):
            continue
        if weight.ndim > 1:
            weight.normal_(std=weight[0].numel() ** -0.5, generator=generator)
        else:
            weight.fill_(float(name.endswith("weight")))
    return weights


def plain(model: Any, peer: Path | None) -> Any:
    """The checkpoint alone: a batch of pictures."""
    return model


def ours(model: Any, peer: Path | None) -> Any:
    """A motion of random weights on it, as Apply Motion puts it there."""
    names = core_unet.core_names(model)
    state = model.model.state_dict()
    queries = [name for name in names if name.endswith(("attn1.to_q.weight", "attn2.to_q.weight"))]
    temporal = {}
    for place, path in inflation.block_paths(names).items():
        layer = inflation.empty_layer(model.get_model_object(path))
        temporal |= {place + name: tensor for name, tensor in fill(layer.state_dict()).items()}
    config = core_unet.read_config(model)
    motion = Motion(
        deltas={name: 0.01 * torch.randn_like(state[names[name]]) for name in queries},
        temporal=temporal,
        info=MotionInfo(
            architecture={name: config[name] for name in ARCHITECTURE}, base_hash="", modes=dict(UNNAMED_MODES)
        ),
    )
    return core_motion.apply_motion(model, motion)


def peer(model: Any, folder: Path | None) -> Any:
    """AnimateDiff-Evolved's first loader, with a motion module of random weights in the layout of mm_sd_v15."""
    assert folder is not None, "the peer is loaded from a folder"
    with tempfile.TemporaryDirectory() as models:
        folder_paths.add_model_folder_path("animatediff_models", models)
        package = load_nodes(PEER, folder)
        write_module(Path(models) / FILE)
        loader = package.NODE_CLASS_MAPPINGS["ADE_AnimateDiffLoaderGen1"]()
        return loader.load_mm_and_inject_params(model, FILE, "autoselect")[0]


def write_module(file: Path) -> None:
    """The file of a motion module; the peer tells its layout from a few names and shapes."""
    modules = sys.modules[f"{PEER}.animatediff.{MODULE}"]
    position = "motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.pos_encoder.pe"
    told = {f"{side}_blocks.3.{position}": torch.zeros(1, 24, 320) for side in ("down", "up")}
    weights, info = modules.normalize_ad_state_dict(told, FILE)
    module = modules.AnimateDiffModel(mm_state_dict=weights, mm_info=info)
    save_file(fill({name: tensor.contiguous() for name, tensor in module.state_dict().items()}), file)


CONTESTANTS: dict[str, Contestant] = {"core": plain, "ours": ours, "peer": peer}

if __name__ == "__main__":
    main()
