"""Measures what a recipe's first edit costs, from the frames of a clip to those of the edit, in this process.

time_to_edit.py starts this once per recipe, because a process's peak memory cannot be reset. Prints JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from demo.study.rendering import checkpoint_of
from demo.study.variant_edits import render_with, tuned_denoiser
from demo.study.variants import VARIANTS
from demo.study.worlds import WORLDS, World
from tav_core import InflatedUNet, encode_frames, encode_prompt

from .measure import peak_memory
from .work import count_calls, measure_outer_share, plan_work


def measure_cost(world: World, variant_name: str, clip_name: str) -> dict[str, Any]:
    """Tunes, inverts and edits once.

    Returns:
        `tuning`, `inversion` and `edit`: evaluations of the UNet by the settings; `counted` and `called`: those of a
        first edit by the settings and by its calls; `tuning_seconds` and `editing_seconds` (inversion, edit, encoding
        and decoding), of CPU time; `peak_bytes` of the process; `outer_share`, see `measure_outer_share`.
    """
    torch.set_num_threads(1)
    variant, checkpoint = VARIANTS[variant_name], checkpoint_of(world.name, "cpu")
    clip = world.clips[clip_name]
    latents = encode_frames(checkpoint.vae, torch.from_numpy(clip.frames())).mean
    share = measure_outer_share(
        InflatedUNet.from_2d(checkpoint.unet, **variant.modes), latents, encode_prompt(checkpoint, "")
    )
    work = plan_work(world, variant, checkpoint.schedule, outer_share=share)
    with tempfile.TemporaryDirectory() as out, count_calls(latents) as calls:
        started = time.process_time()
        denoiser = tuned_denoiser(world, checkpoint, clip, 0, Path(out), variant)
        tuned = time.process_time()
        render_with(world, denoiser, checkpoint, clip, 0, variant, edits=clip.edits[:1])
        ended = time.process_time()
    return {
        **asdict(work),
        "counted": work.first_edit,
        "called": calls.evaluations(share),
        "tuning_seconds": tuned - started,
        "editing_seconds": ended - tuned,
        "peak_bytes": peak_memory("cpu"),
        "outer_share": share,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Takes the names of a world, a variant and a clip."""
    world, variant, clip = sys.argv[1:] if argv is None else argv
    print(json.dumps(measure_cost(WORLDS[world](), variant, clip)))


if __name__ == "__main__":
    main()
