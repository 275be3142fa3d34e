"""Scores the model's stills with both oracles: `python -m demo.score_creatures`.

Writes `training/scores.json` and contact sheets beside it. With `--layout sdxl` it scores the model in Stable Diffusion
XL's layout, and writes beside that.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .creatures.captions import phrase
from .creatures.clips import all_clips
from .creatures.oracle.reading import ORACLES, Oracle, Reading
from .creatures.oracle.scores import is_right
from .creatures.scene import Scene, render
from .creatures.stills import SEED, Combination, combinations, held_out, random_scene, seen
from .creatures.subjects import SUBJECTS
from .creatures.trainers.paths import LOG, MODEL
from .creatures.trainers.xl import FOLDER
from .creatures.trainers.xl_sampler import XLSampler
from .trainers.sample_stills import Sampler, contact_sheet
from .trainers.vae import to_input

GUIDANCES = (4.0, 7.5)
PARTS = ("subject", "place")
BATCH = 12
STYLES = ("sketch", "pixel art", "watercolor")
# Stills of the prompt of each edit of a clip.
STILLS_OF_EDIT = 3


def draw_stills(sampler: Sampler | XLSampler, prompts: list[str], guidance: float) -> np.ndarray:
    """One still for each prompt, `n h w 3` in [0, 1]."""
    starts = range(0, len(prompts), BATCH)
    parts = [sampler.sample(prompts[at : at + BATCH], seed=SEED + at, guidance=guidance) for at in starts]
    return np.concatenate(parts)


def shares(readings: list[Reading], wanted: list[dict[str, str]]) -> dict[str, float]:
    """The share of stills that show each part of what was asked for, and all of it."""
    rows = [
        {part: getattr(reading, part) == word for part, word in each.items()}
        for reading, each in zip(readings, wanted, strict=True)
    ]
    found = {part: round(float(np.mean([row[part] for row in rows])), 3) for part in rows[0]}
    return {"stills": len(rows), **found, "all": round(float(np.mean([all(row.values()) for row in rows])), 3)}


def score_pairs(
    sampler: Sampler | XLSampler, pairs: list[Combination], guidance: float, oracles: list[Oracle]
) -> tuple[list[dict], np.ndarray]:
    """Per oracle, the shares of stills that show the subject and the place of plain prompts; and the stills."""
    wanted = [{"subject": subject, "place": place, "style": "plain"} for subject, place in pairs]
    pictures = draw_stills(sampler, [phrase(**each) for each in wanted], guidance)
    found = []
    for oracle in oracles:
        readings = oracle.read(pictures)
        by_subject = {
            name: [
                reading.subject == name
                for reading, each in zip(readings, wanted, strict=True)
                if each["subject"] == name
            ]
            for name in SUBJECTS
        }
        each_subject = {name: round(float(np.mean(right)), 3) for name, right in by_subject.items() if right}
        found.append({**shares(readings, wanted), "subjects": each_subject})
    return found, pictures


def score_styles(sampler: Sampler | XLSampler, guidance: float, oracle: Oracle) -> dict[str, dict]:
    """The shares of stills in each style that show the subject, the place and the style."""
    found = {}
    for style in STYLES:
        pairs = seen()[::3]
        wanted = [{"subject": subject, "place": place, "style": style} for subject, place in pairs]
        pictures = draw_stills(sampler, [phrase(**each) for each in wanted], guidance)
        found[style] = shares(oracle.read(pictures), wanted)
    return found


def score_edits(sampler: Sampler | XLSampler, guidance: float, oracle: Oracle) -> dict[str, dict]:
    """The shares of stills that show all that the prompts of the clips' edits name, by what an edit changes: what the
    model draws right without a clip that holds it back."""
    edits = [each for clip in all_clips() for each in clip.edits] * STILLS_OF_EDIT
    readings = oracle.read(draw_stills(sampler, [each.prompt for each in edits], guidance))
    right: dict[str, list[bool]] = {}
    for reading, each in zip(readings, edits, strict=True):
        for kind in ("all", "+".join(each.changed)):
            right.setdefault(kind, []).append(is_right(reading, each))
    return {kind: {"stills": len(found), "all": round(float(np.mean(found)), 3)} for kind, found in right.items()}


@torch.no_grad()
def restore(sampler: Sampler | XLSampler, pictures: np.ndarray) -> np.ndarray:
    """What the autoencoder makes of pictures, `n h w 3` in [0, 1]."""
    inputs = to_input(np.round(pictures * 255).astype(np.uint8))
    latents = torch.cat([sampler.vae.encode(part).latent_dist.mean for part in inputs.split(BATCH)])
    return np.concatenate([sampler.decode(part * sampler.vae.config.scaling_factor) for part in latents.split(BATCH)])


def score_autoencoder(sampler: Sampler | XLSampler, oracles: list[Oracle], count: int = 240) -> dict:
    """For new stills, encoded and decoded: the signal-to-noise ratio, and what each oracle reads before and after."""
    scenes = new_scenes(count)
    pictures = np.stack([render(scene) for scene in scenes])
    restored = restore(sampler, pictures)
    decibels = -10 * np.log10(((restored - pictures) ** 2).mean((1, 2, 3)))
    wanted = [{part: getattr(scene, part) for part in ("subject", "place", "style")} for scene in scenes]
    read = {
        f"oracle_{number}": {
            "renders": shares(oracle.read(pictures), wanted),
            "restored": shares(oracle.read(restored), wanted),
        }
        for number, oracle in enumerate(oracles, 1)
    }
    return {"psnr_db": round(float(decibels.mean()), 2), **read}


def new_scenes(count: int) -> list[Scene]:
    """Random scenes of all combinations that no training has seen."""
    rng, pairs = np.random.default_rng(SEED + 1), combinations()
    return [random_scene(rng, pairs[rng.integers(len(pairs))]) for _ in range(count)]


def save_sheet(path: Path, pictures: np.ndarray) -> None:
    """Saves pictures as a sheet of 256 colours, a third of the size."""
    Image.fromarray(contact_sheet(pictures)).quantize(256).save(path, optimize=True)


def main() -> None:
    """Scores the saved model and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("autoencoder", "stills", "edits", "all"), default="all")
    parser.add_argument("--guidances", nargs="+", type=float, default=GUIDANCES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layout", choices=("sd1", "sdxl"), default="sd1", help="of the model")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sampler, folder = (Sampler(MODEL), LOG.parent) if args.layout == "sd1" else (XLSampler(), FOLDER)
    oracles, path = [Oracle(path) for path in ORACLES], folder / "scores.json"
    scores = json.loads(path.read_text()) if path.exists() else {}
    if args.part in ("autoencoder", "all"):
        scores["autoencoder"] = score_autoencoder(sampler, oracles)
    if args.part in ("stills", "all"):
        scores["sampling"] = "DDIM, 30 steps"
        for guidance in args.guidances:
            hidden, pictures = score_pairs(sampler, held_out() * 4, guidance, oracles)
            known, others = score_pairs(sampler, seen()[::2] + seen()[1::2], guidance, oracles)
            scores[f"guidance_{guidance}"] = {"held_out": hidden, "seen": known}
            save_sheet(folder / "held_out.png", pictures[:48])
            save_sheet(folder / "stills.png", others[:72])
        scores["styles"] = score_styles(sampler, args.guidances[0], oracles[0])
    if args.part in ("edits", "all"):
        scores["edits"] = score_edits(sampler, args.guidances[0], oracles[0])
    path.write_text(json.dumps(scores, indent=2) + "\n")
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
