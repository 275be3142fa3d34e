"""Writes a checkpoint that core takes for Stable Diffusion 1.5, of one level and random weights: about 0.5 GB in fp16.
And a ControlNet for it.

Usage: COMFYUI_PATH=... python make_checkpoint.py FILE SEED CONTROLNET_FILE
"""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.environ["COMFYUI_PATH"])
file, seed, controlnet = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sys.argv = sys.argv[:1]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing(False)
from comfy.cli_args import args  # noqa: E402

args.cpu = True

import comfy.cldm.cldm  # noqa: E402
import comfy.ldm.models.autoencoder  # noqa: E402
import comfy.ops  # noqa: E402
import comfy.sd1_clip  # noqa: E402
import comfy.supported_models  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "channel_mult": [1],
    "num_res_blocks": [1],
    "transformer_depth": [1],
    "transformer_depth_output": [1, 1],
    "transformer_depth_middle": 1,
    "context_dim": 768,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "adm_in_channels": None,
    "use_temporal_attention": False,
    "legacy": False,
}
VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def randomize(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A module's weights: norms as they start, all others small and random, so that signals neither die nor explode."""
    weights = {}
    for name, tensor in module.state_dict().items():
        if tensor.ndim == 1:
            weights[name] = torch.ones_like(tensor) if name.endswith("weight") else torch.zeros_like(tensor)
        elif tensor.ndim > 1:
            weights[name] = torch.randn(tensor.shape) * tensor[0].numel() ** -0.5
    return weights


torch.manual_seed(seed)
config = comfy.supported_models.SD15(UNET)
config.set_inference_dtype(torch.float32, None)
parts = {
    "model.diffusion_model.": config.get_model({}, "").diffusion_model,
    "first_stage_model.": comfy.ldm.models.autoencoder.AutoencoderKL(ddconfig=VAE, embed_dim=4),
    "cond_stage_model.transformer.": comfy.sd1_clip.SDClipModel(dtype=torch.float32).transformer,
}
encoder = {key: value for key, value in UNET.items() if key not in ("out_channels", "transformer_depth_output")}
control = {"control_model.": comfy.cldm.cldm.ControlNet(**encoder, num_heads=8, hint_channels=3)}
for path, modules in ((file, parts), (controlnet, control)):
    named = [(prefix + name, t) for prefix, module in modules.items() for name, t in randomize(module).items()]
    save_file({name: tensor.half().contiguous() for name, tensor in named}, path)
    print(f"{len(named)} tensors in {path}")
