"""Scores the cascade: `python -m demo.score_lavie`. Writes `lavie/training/scores.json` and sheets beside it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

from tav_core.models.latents import decode_latents, encode_frames
from tav_core.sampling.interpolate import FACTOR
from tav_core.sampling.keep_colors import keep_colors
from tav_core.sampling.upscale import TIMES

from .lavie.cascade import GUIDANCE, STEPS, Cascade
from .lavie.moving_scenes import (
    NUM_DENSE,
    NUM_FRAMES,
    WAYS,
    Combination,
    MovingScene,
    frame_times,
    random_moving_scene,
)
from .lavie.scores import blend, decibels, mean_scores, path_error, prompt_of, score_video, seam_ratio
from .lavie.trainers.settings import LOG, SEED
from .world.stills import held_out
from .world.world import SIZE, combinations

PARTS = ("base", "interpolation", "upscaling", "seams")
SHARP_FRAMES, LOW_SIDE = 8, 48
# Divisible by 8, so that the last chunk is as long as the others whether or not they overlap.
SEAM_FRAMES, SEAM_SIDE = 32, 32
Scores = dict[str, dict]


def chosen_prompts(count: int) -> list[tuple[str, Combination, str]]:
    """Prompts in turn of seen combinations and of held-out ones: which, the combination, and the way."""
    rng = np.random.default_rng(SEED)
    hidden = held_out()
    known = [each for each in combinations() if each not in hidden]
    parts = [("seen", known[at]) for at in rng.permutation(len(known))], [("held_out", each) for each in hidden]
    mixed = [each for both in zip(*parts, strict=False) for each in both][:count]
    return [(which, combination, WAYS[number % len(WAYS)]) for number, (which, combination) in enumerate(mixed)]


def truth_scenes(count: int, style: str = "plain") -> list[MovingScene]:
    """Moving scenes that no training has seen."""
    rng = np.random.default_rng(SEED + 1)
    return [random_moving_scene(rng, style=style) for _ in range(count)]


def score_base(cascade: Cascade, count: int, guidance: float) -> Scores:
    """The base's scores on seen and held-out combinations, beside those of rendered scenes."""
    rows: dict[str, list[dict[str, float]]] = {"seen": [], "held_out": [], "rendered": []}
    strips = []
    for number, (which, combination, way) in enumerate(chosen_prompts(count)):
        frames = cascade.make(prompt_of(combination, way), seed=number, guidance=guidance)
        rows[which].append(score_video(frames, combination, way))
        scene = random_moving_scene(np.random.default_rng([SEED, number]), combination, way=way, style="plain")
        rows["rendered"].append(score_video(scene.frames(frame_times(NUM_FRAMES)), combination, way))
        strips.append(frames[::3])
        if number % 8 == 7 or number == count - 1:
            print(number + 1, {name: mean_scores(part) for name, part in rows.items() if part}, flush=True)
            save_sheet("base", strips[:24])
    by_way = {way: part for way in WAYS if (part := of_way(way, count, rows))}
    return {**{name: mean_scores(part) for name, part in rows.items() if part}, "way": by_way}


def of_way(way: str, count: int, rows: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """The share of the prompts with a way whose video went there."""
    left = {which: iter(part) for which, part in rows.items()}
    found = [(row["way"], each) for which, _, each in chosen_prompts(count) if (row := next(left[which]))]
    right = [went for went, each in found if each == way]
    return {"way": round(float(np.mean(right)), 3), "count": len(right)} if right else {}


def restore(cascade: Cascade, vae: AutoencoderKL, frames: np.ndarray) -> np.ndarray:
    """Frames through an autoencoder: the best that any model of its latents can do."""
    latents = encode_frames(vae, torch.from_numpy(frames).to(cascade.device)).mean
    return decode_latents(vae, latents)[0].cpu().numpy()


def score_interpolation(cascade: Cascade, count: int, _: float) -> Scores:
    """61 frames from 16 against the rendered 61, beside blended frames, on the frames between the keys."""
    rows: dict[str, list[dict[str, float]]] = {"interpolated": [], "blended": [], "restored": []}
    between = np.arange(NUM_DENSE) % FACTOR != 0
    strips = []
    for number, scene in enumerate(truth_scenes(count)):
        times = frame_times(NUM_DENSE)
        truth, path = scene.frames(times), scene.path(times)
        restored = restore(cascade, cascade.sd.vae, truth)
        made = cascade.interpolate(np.ascontiguousarray(truth[::FACTOR]), scene.prompt, seed=number)
        for name, frames in {"interpolated": made, "blended": blend(restored[::FACTOR]), "restored": restored}.items():
            psnr = decibels(frames[between], truth[between])
            rows[name].append({"psnr": psnr, "path": path_error(frames[between], path[between])})
        strips += [truth[16:22], made[16:22], blend(restored[::FACTOR])[16:22]]
        print(number + 1, {name: mean_scores(part) for name, part in rows.items()}, flush=True)
        save_sheet("interpolation", strips[:18])
    return {name: mean_scores(part) for name, part in rows.items()}


def score_upscaling(cascade: Cascade, count: int, _: float) -> Scores:
    """Crops of frames at four times the size against rendered ones, beside bicubic enlargement and what is left of the
    rendered ones by the autoencoder."""
    rows: dict[str, list[dict[str, float]]] = {"upscaled": [], "colors as drawn": [], "bicubic": [], "restored": []}
    strips = []
    for number, scene in enumerate(truth_scenes(count)):
        times = frame_times(NUM_FRAMES)[:SHARP_FRAMES]
        small, truth = crop_of(scene, times, LOW_SIDE)
        enlarged = [cv2.resize(each, truth.shape[1:3], interpolation=cv2.INTER_CUBIC) for each in small]
        drawn = torch.from_numpy(cascade.draw_large(small, scene.prompt, seed=number))
        made = {
            "upscaled": keep_colors(drawn, torch.from_numpy(small)).numpy(),
            "colors as drawn": drawn.numpy(),
            "bicubic": np.stack(enlarged).clip(0, 1),
            "restored": restore(cascade, cascade.upscaler_vae, truth),
        }
        for name, frames in made.items():
            still = np.abs(np.diff(frames - truth, axis=0)).mean()
            rows[name].append({"psnr": decibels(frames, truth), "unsteady": float(still)})
        strips.append(np.stack([made["bicubic"][0], made["upscaled"][0], truth[0]]))
        print(number + 1, {name: mean_scores(part) for name, part in rows.items()}, flush=True)
        save_sheet("upscaling", strips[:8])
    return {name: mean_scores(part) for name, part in rows.items()}


def score_seams(cascade: Cascade, count: int, _: float) -> Scores:
    """How much more upscaled frames change where chunks meet: with chunks that overlap and move, and as the original's.

    Chunks of eight frames that share two begin and end at even frames, in one step of three at each.
    """
    rows: dict[str, list[dict[str, float]]] = {"overlap 2": [], "overlap 0": []}
    for number, scene in enumerate(truth_scenes(count)):
        times = frame_times(NUM_DENSE)[:SEAM_FRAMES]
        small, truth = crop_of(scene, times, SEAM_SIDE)
        for overlap, step in ((2, 2), (0, 8)):
            made = cascade.draw_large(small, scene.prompt, seed=number, overlap=overlap)
            ratio = seam_ratio(made, truth, range(step, SEAM_FRAMES, step))
            rows[f"overlap {overlap}"].append({"seam": ratio, "psnr": decibels(made, truth)})
        print(number + 1, {name: mean_scores(part) for name, part in rows.items()}, flush=True)
    return {name: mean_scores(part) for name, part in rows.items()}


def crop_of(scene: MovingScene, times: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A crop around the shape of the small frames, `side` pixels wide, and of those four times as large."""
    x, y = (int(np.clip(part - side / 2, 0, SIZE - side)) for part in scene.path(times[:1])[0])
    small = np.ascontiguousarray(scene.frames(times)[:, y : y + side, x : x + side])
    down, across = (slice(at * TIMES, (at + side) * TIMES) for at in (y, x))
    return small, scene.frames(times, scale=TIMES)[:, down, across]


def save_sheet(name: str, strips: list[np.ndarray]) -> None:
    """Saves rows of frames as one picture of 256 colours."""
    rows = [np.concatenate(list(strip), axis=1) for strip in strips]
    picture = np.round(np.concatenate(rows) * 255).astype(np.uint8)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).quantize(256).save(LOG.parent / f"{name}.png", optimize=True)


SCORE: dict[str, Callable[[Cascade, int, float], Scores]] = {
    "base": score_base,
    "interpolation": score_interpolation,
    "upscaling": score_upscaling,
    "seams": score_seams,
}
COUNTS = {"base": 48, "interpolation": 6, "upscaling": 6, "seams": 4}
QUICK = {"base": 16, "interpolation": 2, "upscaling": 2, "seams": 1}


def main() -> None:
    """Scores the saved models and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--quick", action="store_true", help="few examples and steps, for a first look")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    cascade = Cascade(device=device, steps=args.steps or (16 if args.quick else STEPS))
    path = LOG.parent / "scores.json"
    for part in args.parts:
        found = SCORE[part](cascade, (QUICK if args.quick else COUNTS)[part], args.guidance)
        scores = json.loads(path.read_text()) if path.exists() else {}
        scores[part] = {"steps": cascade.steps, **({"guidance": args.guidance} if part == "base" else {}), **found}
        path.write_text(json.dumps(scores, indent=2) + "\n")
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
