"""What Edit Clips is to do: the jobs, the settings, the models and their hashes, checked before the first clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tav_core.errors import ConfigError
from ...tav_core.paths import as_file_name, new_name
from ...tav_core.sampling.config import EditConfig
from ...tav_core.tuning.config import TuneConfig
from ..sockets.folders import batch_path
from ..sockets.judges import NONE, find_weights
from ..sockets.prompt_lines import split_prompts
from .clip_list import ListedClip

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...tav_core.batch.manifest.jobs import ClipJob
    from ...tav_core.batch.recipe import Recipe
    from ..core.tuning import Watcher
    from .core_stages import CoreParts

# Inputs that there is one of; ComfyUI gives all as lists to a node that takes lists.
ONE = ("model", "clip", "vae", "options")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is to be done: the jobs, how, and where."""

    jobs: Sequence[ClipJob]
    recipe: Recipe
    hashes: Mapping[str, str]
    out: Path


def only(name: str, values: Sequence[Any]) -> Any:
    """The one value of an input; for widgets the first.

    Raises:
        ConfigError: there are several models.
    """
    if name in ONE and len(values) > 1:
        raise ConfigError(
            got=f"a list of {len(values)} at {name}",
            expected="one for the whole batch",
            mend="Use an Edit Clips for each, and connect all of them to one Batch Report.",
        )
    return values[0]


def split(prompts: Iterable[str]) -> list[str]:
    """All lines of all texts that are not empty, each once.

    Raises:
        ConfigError: there is none.
    """
    lines = split_prompts("\n".join(prompts))
    return list(dict.fromkeys(" ".join(line.split()) for line in lines))


def prepare(
    clips: Sequence[ListedClip],
    prompts: Sequence[str],
    watch: Callable[[ClipJob], Watcher],
    *,
    model: Any,
    clip: Any,
    vae: Any,
    negative: str,
    tuning_steps: int,
    learning_rate: float,
    tune_seed: int,
    memory: str,
    sampling_steps: int,
    cfg: float,
    batch_name: str,
    clip_model: str,
    dino_model: str,
    options: dict[str, Any] | None = None,
) -> tuple[Batch, CoreParts]:
    """The batch and the models, after checks of what would fail for every clip.

    Raises:
        CheckpointError: the MODEL is of another family.
        MotionError: the MODEL has a motion already.
        ConfigError: settings do not fit, or a prompt does not fit the MODEL.
    """
    import comfy.model_management

    from ...tav_core.atomic_files import check_output
    from ...tav_core.batch.recipe import Modes, Recipe
    from ...tav_core.opencv import has_opencv
    from ..core.tuning import check_untuned
    from ..sockets.bridge import check_conditioning
    from .core_stages import CoreParts

    options = options or {"tuning": {}, "modes": {}}
    tuning = {**options["tuning"], "num_steps": tuning_steps, "learning_rate": learning_rate, "seed": tune_seed}
    judges = {"clip_model": clip_model, "dino": dino_model}
    recipe = Recipe(
        model="the MODEL input",
        device=str(comfy.model_management.get_torch_device()),
        modes=Modes(**options["modes"]),
        tuning=TuneConfig(**{**tuning, "memory": memory}),
        sampling=EditConfig(num_steps=sampling_steps, guidance_scale=cfg),
        flow=has_opencv(),
        **{name: "" if choice == NONE else str(find_weights(choice)) for name, choice in judges.items()},
    )
    check_untuned(model)
    out = batch_path(batch_name)
    check_output(out / "results.csv")
    parts = CoreParts(model=model, clip=clip, vae=vae, watch=watch)
    for prompt in ("", negative, *prompts):
        check_conditioning(parts.encode(prompt), model, f"the prompt {prompt!r}")
    jobs = make_jobs(clips, prompts, negative)
    return Batch(jobs=jobs, recipe=recipe, hashes=hash_all(parts, recipe, out), out=out), parts


def make_jobs(clips: Sequence[ListedClip], prompts: Sequence[str], negative: str) -> list[ClipJob]:
    """One job per clip, with all prompts.

    Raises:
        ConfigError: two clips have one name, as where lists of two folders are joined.
    """
    from ...tav_core.batch.manifest.jobs import ClipJob, Edit
    from ...tav_core.cancelling import cancellable

    names = Counter(clip.name for clip in clips)
    if twice := [name for name, number in names.items() if number > 1]:
        raise ConfigError(
            got=f"several clips with the name {twice[0]}",
            expected="a name for each, because each has a folder of that name",
            mend="Use an Edit Clips for each list, with batch_names of their own.",
        )
    kinds: dict[str, str] = {}
    for prompt in prompts:
        kinds[new_name(as_file_name(prompt), kinds)] = prompt
    edits = tuple(Edit(type=kind, prompt=prompt, negative=negative) for kind, prompt in kinds.items())
    return [
        ClipJob(
            name=clip.name,
            folder=clip.name,
            split="",
            clip=str(clip.path),
            prompt=clip.prompt,
            config=clip.read_as(),
            edits=edits,
        )
        for clip in cancellable(clips)
    ]


def hash_all(parts: CoreParts, recipe: Recipe, out: Path) -> dict[str, str]:
    """The hashes of the models and of the judges, as the keys of the stages take them."""
    from ...tav_core.batch.hashes import hash_path
    from ...tav_core.batch.job_folder import read_json, write_json
    from ..core.weights_hash import hash_clip, hash_model, hash_vae

    path = out / "hashes.json"
    known = read_json(path)
    judges = {name: hash_path(getattr(recipe, name), known) for name in ("clip_model", "dino") if getattr(recipe, name)}
    if judges:
        write_json(path, known)
    return {"model": hash_model(parts.model), "vae": hash_vae(parts.vae), "tokenizer": hash_clip(parts.clip), **judges}
