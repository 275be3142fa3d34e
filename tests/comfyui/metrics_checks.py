"""Core's CLIP_VISION against the library's CLIP, of the same weights; prints one JSON object. Run by test_metrics.py.

Usage: COMFYUI_PATH=... python metrics_checks.py FOLDER, which holds a tiny CLIP in transformers' format
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

PACK = Path(__file__).resolve().parents[2]
sys.path.insert(0, os.environ["COMFYUI_PATH"])
folder = Path(sys.argv[1])
sys.argv = sys.argv[:1]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing(False)
from comfy.cli_args import args  # noqa: E402

args.cpu = True

import comfy.clip_vision  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

name = "tune_a_video_pack"
spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py", submodule_search_locations=[str(PACK)])
sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[name])
from tune_a_video_pack.nodes.sockets.judges import CoreClipVision  # noqa: E402
from tune_a_video_pack.tav_core.metrics import frame_consistency, load_clip_model  # noqa: E402

# The config as core's own clip_vision_config_*.json have it.
settings = json.loads((folder / "config.json").read_text())
told = folder / "core.json"
told.write_text(json.dumps({**settings["vision_config"], "projection_dim": settings["projection_dim"]}))
core = comfy.clip_vision.ClipVisionModel(str(told))
missing, _ = core.load_sd({k: v for k, v in load_file(folder / "model.safetensors").items() if k.startswith("vis")})
assert not missing, missing
with torch.inference_mode():
    results = {}
    for side, shape in {"same size": (32, 32), "larger": (96, 96), "not square": (72, 48)}.items():
        frames = torch.rand((11, *shape, 3), generator=torch.Generator().manual_seed(0))
        theirs, ours = CoreClipVision(core).encode_images(frames), load_clip_model(folder).encode_images(frames)
        cosines = torch.nn.functional.cosine_similarity(ours, theirs)
        results[side] = [float(cosines.min()), float(frame_consistency(theirs)), float(frame_consistency(ours))]
print("RESULTS " + json.dumps(results))
