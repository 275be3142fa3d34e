"""Whether a tuning that starts from LaVie's interpolation needs fewer steps: `python -m demo.lavie_starts`.

The model is the small cascade's base without its layers over time, which draws stills. It is tuned on each clip of the
study twice, from layers that add nothing and from the interpolation's, and the clip's edits are scored on the way.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from tav_core import Checkpoint, InflatedUNet, UNetDenoiser, load_checkpoint
from tav_core.checkpoints.lavie import load_lavie, start_from

from .lavie.trainers.nets import make_stills_unet
from .lavie.trainers.settings import FILES
from .study.settings import MODEL
from .study.tables import without_nan
from .tuning_steps import add_clips, average, format_table, motions_at, run_clips, score_motion
from .world.clips import clip_named

OUT = Path("out") / "lavie_starts"
STEPS = (25, 100)
STARTS = ("zero", "interpolation")


def load_model() -> Checkpoint:
    """The demo's text model and autoencoder with the base's UNet, without its layers over time."""
    base = load_lavie(FILES["base"], "base")
    unet, weights = make_stills_unet(), base.unet.state_dict()
    unet.load_state_dict({name: weights[name] for name in unet.state_dict()})
    return dataclasses.replace(load_checkpoint(MODEL), unet=unet.requires_grad_(False), schedule=base.schedule)


def run_clip(name: str, seed: int, out: Path) -> dict[str, dict[str, Any]]:
    """The scores of one clip from each start after each number of steps; read from `out` if they are there."""
    torch.set_num_threads(1)
    path = out / f"{name}_{seed}.json"
    if not path.exists():
        checkpoint, clip, rows = load_model(), clip_named(name), {}
        for start in STARTS:
            unet = InflatedUNet.from_2d(checkpoint.unet, seed=seed)
            if start == "interpolation":
                start_from(unet, FILES["interpolation"])
            untuned = UNetDenoiser(unet=unet, schedule=checkpoint.schedule)
            for step, motion in motions_at(untuned, clip, checkpoint, STEPS, seed).items():
                rows[f"{step} from {start}"] = score_motion(motion, clip, checkpoint)
        path.write_text(json.dumps(without_nan(rows), indent=1) + "\n")
    return json.loads(path.read_text())


def main() -> None:
    """Tunes and scores what is missing, then prints the table."""
    parser = argparse.ArgumentParser(prog="python -m demo.lavie_starts", description=__doc__.splitlines()[0])
    add_clips(parser, OUT)
    print(format_table(average(run_clips(run_clip, parser.parse_args()))))


if __name__ == "__main__":
    main()
