"""The key of each stage: a hash of all that its result depends on, so that what is done already can be told.

A key holds the key of the stage before, so a changed setting redoes its own stage and those behind it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, MutableMapping
from typing import Any

from ..sampling.config import EditConfig
from ..settings import as_json
from .hashes import hash_path
from .manifest.jobs import ClipJob, Edit
from .recipe import MODE_NAMES, Recipe

# The name of the hash of the YAML beside the model, if there is one.
MODEL_YAML = "model's YAML"

# Settings of tuning that change how it is computed, and not what is learned.
NO_MATTER = ("memory", "recompute", "save_every", "resume")
# Raised when a score is computed in another way.
SCORES_VERSION = 1
# Raised when the noise of steps that are taken again is drawn in another way.
RESAMPLE_VERSION = 2


class JobKeys:
    """Today's keys of a job's stages.

    Args:
        job: the clip and its edits.
        recipe: the settings.
        hashes: of the recipe's files, by the names in `Recipe.files`.
        inputs: hashes of the job's own files from earlier, see `hash_path`; filled in here.
    """

    def __init__(
        self, job: ClipJob, recipe: Recipe, hashes: Mapping[str, str], inputs: MutableMapping[str, Any]
    ) -> None:
        clip_hash = hash_path(job.clip, inputs)
        masks = {"": ""} | {path: hash_path(path, inputs) for path in mask_paths(job)}
        self.tune = tune_key(job, recipe, hashes, clip_hash)
        self.invert = invert_key(self.tune, job, recipe)
        self.edits = {edit.type: edit_key(self.invert, edit, recipe, masks[edit.mask]) for edit in job.edits}
        self.scores = {
            edit.type: score_key(self.edits[edit.type], recipe, hashes, masks[edit.score_mask or edit.mask])
            for edit in job.edits
        }


def mask_paths(job: ClipJob) -> list[str]:
    """All masks of a job's edits."""
    return sorted({path for edit in job.edits for path in (edit.mask, edit.score_mask) if path})


def stage_key(stage: str, **what: Any) -> str:
    """The key of a stage whose result depends on these values: 64 hexadecimal digits."""
    text = json.dumps([stage, as_json(what)], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def tune_key(job: ClipJob, recipe: Recipe, hashes: Mapping[str, str], clip_hash: str) -> str:
    """The key of the motion.

    Args:
        hashes: of the recipe's files, by the names in `Recipe.files` and `MODEL_YAML`.
        clip_hash: of the clip.
    """
    files = ("model", MODEL_YAML, "vae", "tokenizer", "start_from")
    config = {name: value for name, value in dataclasses.asdict(recipe.tuning).items() if name not in NO_MATTER}
    return stage_key(
        "tune",
        model={name: hashes[name] for name in files if name in hashes},
        loras=[[hashes[f"LoRA {path}"], scale] for path, scale in recipe.loras.items()],
        loaded=[recipe.prediction_type, recipe.dtype, recipe.long_prompts],
        modes={name: getattr(recipe.modes, name) for name in MODE_NAMES},
        config=config,
        clip=clip_hash,
        read=dataclasses.asdict(job.config),
        prompt=job.prompt,
    )


def invert_key(before: str, job: ClipJob, recipe: Recipe) -> str:
    """The key of the trajectory, given that of the motion."""
    return stage_key(
        "invert",
        before=before,
        config=dataclasses.asdict(recipe.inversion),
        num_steps=recipe.sampling.num_steps,
        source_prompt=recipe.source_prompt,
        windows=[recipe.modes.context_length, recipe.modes.context_overlap],
        keep=kept_steps(job, recipe),
    )


def kept_steps(job: ClipJob, recipe: Recipe) -> str:
    """Which latents of the inversion its edits need: "all", or "ends", which take a twentieth of the room."""
    needs_all = recipe.injection or job.has_masks or any(edit.mask for edit in job.edits)
    return "all" if needs_all else "ends"


def edit_key(before: str, edit: Edit, recipe: Recipe, mask_hash: str) -> str:
    """The key of a video, given that of the trajectory; the seed counts only where noise is drawn."""
    settings = edit_config(edit, recipe)
    draws = settings.eta or settings.noise_prior < 1 or settings.resample > 1
    config = {**dataclasses.asdict(settings), "seed": settings.seed if draws else None}
    if settings.resample > 1:
        config["resample_version"] = RESAMPLE_VERSION
    return stage_key(
        "edit",
        before=before,
        prompts=[edit.prompt, edit.negative],
        config=config,
        injection=dataclasses.asdict(recipe.injection) if recipe.injection else None,
        mask=mask_hash,
        feather=recipe.local.feather if mask_hash else None,
        format=recipe.modes.format,
    )


def score_key(before: str, recipe: Recipe, hashes: Mapping[str, str], mask_hash: str) -> str:
    """The key of the scores, given that of the video."""
    return stage_key(
        "scores",
        before=before,
        judges={name: hashes[name] for name in ("clip_model", "dino", "pick_score") if name in hashes},
        pairs=recipe.modes.pairs,
        flow=recipe.flow,
        mask=mask_hash,
        version=SCORES_VERSION,
    )


def edit_config(edit: Edit, recipe: Recipe) -> EditConfig:
    """How an edit is sampled: with its own seed, and resampled only inside a mask."""
    resample = recipe.sampling.resample if edit.mask else 1
    return dataclasses.replace(recipe.sampling, seed=edit_seed(edit, recipe), resample=resample)


def edit_seed(edit: Edit, recipe: Recipe) -> int:
    """The seed of an edit: its own, or the batch's."""
    return recipe.sampling.seed if edit.seed < 0 else edit.seed
