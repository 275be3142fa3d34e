"""Whether the model of the shapes can draw two of them at once: `python -m demo.crossing_stills`.

It never saw two named shapes in training. The stills have the prompts and the places of the crossing clips, and start
from random noise; nothing is tuned.

    whole prompt     "a red circle and a blue square on a gray background"
    local prompts    and each shape named by itself, in a disc around its place
    and the adapter  which is shown the discs in the first half of the steps
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from tav_core import (
    Checkpoint,
    Control,
    ControlConfig,
    EditConfig,
    InflatedUNet,
    LocalPrompt,
    UNetDenoiser,
    add_controls,
    decode_latents,
    edit,
    encode_prompt,
    gaussian_noise,
    load_checkpoint,
    load_t2i_adapter,
)

from .oracle.crossing_scores import read_object
from .oracle.oracle import read_frame
from .study.pictures import label_rows
from .study.tables import markdown_table
from .study.worlds import crossing
from .world.crossing import OBJECTS, CrossingClip, CrossingEdit

OUT = Path("out") / "crossing_stills"
CONFIG = EditConfig(num_steps=20, guidance_scale=4.0)
WAYS = {"whole prompt": (False, False), "local prompts": (True, False), "and the adapter": (True, True)}


def draw_stills(checkpoint: Checkpoint, clip: CrossingClip, count: int, *, local: bool, led: bool) -> np.ndarray:
    """Stills of a clip's prompt from different noise, `n h w 3` in [0, 1].

    Args:
        local: each shape has a prompt of its own, where it is in the clip's first frame.
        led: the adapter is shown discs there.
    """
    world, size = crossing(), clip.frames().shape[1]
    unet = InflatedUNet.from_2d(checkpoint.unet, attention="spatial", temporal=False, group_norm="frame")
    denoiser = UNetDenoiser(unet=unet, schedule=checkpoint.schedule)
    if led:
        hints = world.hints(clip)[:1].expand(count, -1, -1, -1)
        net = load_t2i_adapter(world.model / "t2i_adapter")
        denoiser = add_controls(denoiser, [Control(net=net, frames=hints, config=ControlConfig(end=0.5))])
    told = [
        LocalPrompt(context=encode_prompt(checkpoint, words), mask=mask[:1])
        for words, mask in (world.local_prompts(clip, unchanged(clip)) if local else ())
    ]
    noise = gaussian_noise((1, 4, count, size // 8, size // 8), seed=0)
    texts = [encode_prompt(checkpoint, text) for text in (clip.prompt, "")]
    with torch.no_grad():
        return decode_latents(checkpoint.vae, edit(denoiser, noise, *texts, config=CONFIG, local=told))[0].numpy()


def unchanged(clip: CrossingClip) -> CrossingEdit:
    """A clip's own prompt and words, as an edit."""
    start = clip.scenes[0]
    words = {name: (getattr(start, name).shape, getattr(start, name).colour) for name in OBJECTS}
    return CrossingEdit(prompt=clip.prompt, background=start.first.background, kind="both", **words)


def shows_both(still: np.ndarray, clip: CrossingClip, *, placed: bool) -> bool:
    """Whether a still shows both shapes in their colours; in their places, or, if nothing says where, anywhere."""
    asked = [getattr(unchanged(clip), name) for name in OBJECTS]
    if placed:
        readings = [read_object(still, clip.scenes[0], name) for name in OBJECTS]
        return [(one.shape, one.colour) for one in readings] == asked
    reading = read_frame(still)
    # Of a second shape, the oracle reads the colour alone.
    pairs = (asked, asked[::-1])
    return any((reading.shape, reading.colour) == one and reading.second == other[1] for one, other in pairs)


def main() -> None:
    """Draws the stills, prints how many show both shapes, and saves a sheet of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=6, help="stills of each prompt")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    world, sheet, found = crossing(), {}, {name: [] for name in WAYS}
    checkpoint = load_checkpoint(world.model)
    for name, (local, led) in tqdm(WAYS.items(), unit="way"):
        for clip in world.clips.values():
            stills = draw_stills(checkpoint, clip, args.count, local=local, led=led)
            found[name] += [shows_both(still, clip, placed=local) for still in stills]
            sheet[f"{name}: {clip.prompt}"] = stills
    label_rows(sheet, scale=1).save(args.out / "stills.png")
    rows = [[name, f"{sum(hits)} of {len(hits)}"] for name, hits in found.items()]
    print(markdown_table(["", "stills that show both"], rows))


if __name__ == "__main__":
    main()
