"""Scores stills of the trained model with the oracle: `python -m demo.score_stills`.

Writes `demo/training/scores.json` and a contact sheet, `demo/training/stills.png`.
"""

import json

import numpy as np
import torch
from PIL import Image

from .oracle.oracle import Reading, read_frame
from .trainers.common import LOG, SEED
from .trainers.sample_stills import Sampler, contact_sheet
from .trainers.vae import to_input
from .world.captions import phrase
from .world.discs import discs
from .world.stills import held_out, random_scene
from .world.world import Scene, combinations, render

NUM_SEEDS = 2
GUIDANCES = (7.5, 4.0)
PARTS = ("shape", "colour", "background")


def score_combinations(
    sampler: Sampler, chosen: list[tuple[str, str, str]], guidance: float
) -> tuple[dict, np.ndarray]:
    """The shares of stills that show the prompt's shape, its colour, its background, and all three; and the stills."""
    prompts = [phrase(**dict(zip(PARTS, one, strict=True))) for one in chosen]
    right, pictures = [], []
    for seed in range(NUM_SEEDS):
        for start in range(0, len(chosen), 12):
            part = prompts[start : start + 12]
            pictures.append(sampler.sample(part, seed=SEED + 100 * seed + start, guidance=guidance))
    pictures = np.concatenate(pictures)
    for picture, wanted in zip(pictures, chosen * NUM_SEEDS, strict=True):
        reading = read_frame(picture)
        right.append([getattr(reading, part) == word for part, word in zip(PARTS, wanted, strict=True)])
    right = np.array(right)
    shares = {part: round(float(share), 3) for part, share in zip(PARTS, right.mean(0), strict=True)}
    return {"stills": len(right), **shares, "all": round(float(right.all(1).mean()), 3)}, pictures


def score_variety(sampler: Sampler, prompt: str, count: int = 24) -> dict:
    """How much the things that a prompt does not name vary over stills from different noise."""
    readings = [read_frame(picture) for picture in sampler.sample([prompt] * count, seed=SEED)]
    shades = np.array([reading.shade for reading in readings])
    behind = np.array([reading.background_shade for reading in readings])
    words = {name: [getattr(reading, name) for reading in readings] for name in ("mark", "outline", "second")}
    return {
        "prompt": prompt,
        "shade_std": round(float(np.nanstd(shades, axis=0).mean()), 4),
        "background_shade_std": round(float(np.nanstd(behind, axis=0).mean()), 4),
        "contrast_std": round(float(np.nanstd([reading.contrast for reading in readings])), 4),
        "place_std": round(float(np.nanstd([[r.x, r.y] for r in readings], axis=0).mean()), 2),
        **{name: {word: said.count(word) for word in sorted(set(said))} for name, said in words.items()},
    }


def share_right(readings: list[Reading], scenes: list[Scene]) -> float:
    """The share of pictures that show the shape, colour and background of their scene."""
    right = [all(getattr(r, p) == getattr(s, p) for p in PARTS) for r, s in zip(readings, scenes, strict=True)]
    return round(float(np.mean(right)), 3)


def score_places(sampler: Sampler, count: int = 48) -> dict:
    """How far objects are from the discs shown to the T2I-Adapter, in pixels, with and without it; the share right."""
    rng = np.random.default_rng(SEED + 2)
    scenes = [random_scene(rng) for _ in range(count)]
    prompts = [phrase(**{part: getattr(scene, part) for part in PARTS}) for scene in scenes]
    asked, found = np.array([(scene.x, scene.y) for scene in scenes]), {}
    for name, hints in (("with_adapter", discs(scenes)), ("without", None)):
        readings = [read_frame(one) for one in sampler.sample(prompts, seed=SEED, guidance=4.0, hints=hints)]
        away = np.linalg.norm([(r.x, r.y) for r in readings] - asked, axis=1)
        found[name] = {"pixels_away": round(float(np.nanmedian(away)), 2), "all": share_right(readings, scenes)}
    return {"stills": count, **found}


@torch.no_grad()
def score_autoencoder(sampler: Sampler, count: int = 96) -> dict:
    """For new stills, encoded and decoded: mean peak signal-to-noise ratio in dB, and the share read right."""
    rng = np.random.default_rng(SEED + 1)
    scenes = [random_scene(rng) for _ in range(count)]
    pictures = np.stack([render(scene) for scene in scenes])
    latents = sampler.vae.encode(to_input((pictures * 255).astype(np.uint8))).latent_dist.mean
    output = sampler.decode(latents * sampler.vae.config.scaling_factor)
    error = ((output - pictures) ** 2).mean((1, 2, 3))
    read = [read_frame(picture) for picture in output]
    return {"psnr_db": round(float((-10 * np.log10(error)).mean()), 2), "read_right": share_right(read, scenes)}


def main() -> None:
    """Scores the saved model and writes the figures."""
    torch.set_num_threads(2)
    sampler = Sampler()
    unseen = held_out()
    seen = [one for one in combinations() if one not in unseen]
    known = [seen[i] for i in np.random.default_rng(SEED).permutation(len(seen))[: len(unseen)]]
    scores = {"sampling": "DDIM, 30 steps"}
    for guidance in GUIDANCES:
        held, pictures = score_combinations(sampler, unseen, guidance)
        seen_scores, _ = score_combinations(sampler, known, guidance)
        scores[f"guidance_{guidance}"] = {"held_out_combinations": held, "seen_combinations": seen_scores}
    scores |= {
        "autoencoder": score_autoencoder(sampler),
        "unnamed_variety": score_variety(sampler, "a red circle on a blue background"),
        "places": score_places(sampler),
    }
    (LOG.parent / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    Image.fromarray(contact_sheet(pictures)).save(LOG.parent / "stills.png")
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
