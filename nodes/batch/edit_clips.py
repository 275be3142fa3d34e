"""Edit Clips: every clip of a list under every prompt. What is done is kept as files, and not done again."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
from comfy_api.latest import InputImpl, io, ui

from ...tav_core.errors import ClipError, ConfigError
from ...tav_core.sampling.config import EditConfig
from ...tav_core.tuning.config import TuneConfig, check_has_steps
from ..core.interrupt import interruptible
from ..core.live_preview import hide_live_preview
from ..sockets.folders import batch_path, check_name
from ..sockets.graph import QUEUED, explain, read_value
from ..sockets.judges import NONE, clip_input, find_weights, list_dinos
from ..sockets.show_text import show_text
from ..sockets.widgets import CATEGORY, TuneOptionsType, schema, seed_widget, widget
from .clip_list import ClipFile, EditFile, ListedClip, ListedEdit

if TYPE_CHECKING:
    from ...tav_core.batch.manifest.jobs import ClipJob
    from ...tav_core.batch.recipe import Recipe
    from .core_stages import CoreParts

# How many videos the node shows.
MOST_SHOWN = 64
# The videos that a batch wrote last, and how often some of them were found to have gone.
WRITTEN: dict[Path, list[Path]] = {}
LOST: Counter[Path] = Counter()
EXAMPLES = "a panda is skiing\nan astronaut is skiing on the moon"
# Inputs that there is one of; ComfyUI gives all as lists to a node that takes lists.
ONE = ("model", "clip", "vae", "options")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is to be done: the jobs, how, and where."""

    jobs: Sequence[ClipJob]
    recipe: Recipe
    hashes: Mapping[str, str]
    out: Path


class EditClips(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVEditClips",
            display_name="Batch: Edit Clips",
            category=CATEGORY,
            advanced=("tune_seed", "memory", "dino_model"),
            description=(
                "Renders every clip under every prompt: tunes on a clip, inverts it, and writes and scores a video for "
                "each prompt, one clip after the other. What is done is kept in output/tav_batches and not done again. "
                "A clip that fails leaves the others alone."
            ),
            search_aliases=["batch", "folder", "many clips", "many prompts", "for each", "loop", "dataset"],
            is_output_node=True,
            is_input_list=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Stable Diffusion 1.x, 2.x or XL, with or without LoRAs. This MODEL is not changed.",
                ),
                io.Clip.Input("clip", tooltip="The CLIP of the same checkpoint."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
                ClipFile.Input("clips", tooltip="From Load Clips."),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    default=EXAMPLES,
                    tooltip="What the videos are to show: one prompt per line. Every clip is rendered under each.",
                ),
                io.String.Input("negative", default="", tooltip="What the videos should not show; usually empty."),
                widget(
                    TuneConfig,
                    "num_steps",
                    id="tuning_steps",
                    default=200,
                    min=1,
                    tooltip="Tuning steps for each clip. 500 in the paper; 200 is often better, see One-Shot Tune.",
                ),
                widget(TuneConfig, "learning_rate", step=1e-6),
                seed_widget(
                    TuneConfig, "tune_seed", "Determines the noise and the timesteps that each step learns from."
                ),
                widget(TuneConfig, "memory"),
                widget(
                    EditConfig,
                    "num_steps",
                    id="sampling_steps",
                    tooltip="Steps of the inversion and of the sampling. 50 in the paper.",
                ),
                widget(EditConfig, "guidance_scale", id="cfg", display_name="cfg", min=1.0, step=0.5),
                io.String.Input(
                    "batch_name",
                    default="my_batch",
                    tooltip="Name of its folder in output/tav_batches. The same name goes on with what is there.",
                ),
                clip_input(),
                io.Combo.Input(
                    "dino_model",
                    options=list_dinos(),
                    default=NONE,
                    tooltip="A DINO such as ViT-S/16: a transformers folder in models/clip_vision or models/diffusers.",
                ),
                TuneOptionsType.Input("options", optional=True, tooltip="From Tune Options."),
            ],
            outputs=[
                EditFile.Output("edits", display_name="edits", is_output_list=True, tooltip="For Batch Report."),
                io.Video.Output(
                    "videos",
                    display_name="videos",
                    is_output_list=True,
                    tooltip="The videos that could be made, clip by clip, as files that are not yet read.",
                ),
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, clips: list[ListedClip], prompts: list[str], **given: Any) -> io.NodeOutput:
        one = {name: only(name, values) for name, values in given.items()}
        batch, parts = prepare(cls, clips, split(prompts), **one)
        edits = [edit for at in range(len(batch.jobs)) for edit in run_clip(cls, batch, parts, at)]
        text = describe(edits)
        hide_live_preview(cls.hidden.unique_id)
        done = [edit for edit in edits if edit.is_done]
        if not done:
            raise ClipError(
                got=f"a batch of which nothing could be made. {text}",
                expected="clips that can be tuned on",
                mend=f"Mend what is named above. More is in the log.txt of each clip in {batch.out / 'jobs'}.",
            )
        WRITTEN[batch.out] = [edit.video for edit in done]
        videos = [InputImpl.VideoFromFile(str(edit.video)) for edit in done]
        shown = ui.PreviewVideo([locate(edit.video) for edit in done[:MOST_SHOWN]]).as_dict()
        return io.NodeOutput(edits, videos, ui=shown | show_text(cls, text).as_dict())

    @classmethod
    def validate_inputs(cls, prompts: Any = None, batch_name: Any = None) -> bool | str:
        graph, node = QUEUED.get(), cls.hidden.unique_id
        steps = read_value(graph, node, "tuning_steps")

        def check() -> None:
            # A node that takes lists is asked about lists.
            for texts, look in ((prompts, split), (batch_name, lambda names: check_name(names[0]))):
                if texts and all(isinstance(text, str) for text in texts):
                    look(texts)
            check_has_steps(1 if steps is None else steps, starts=False)

        return explain(check)

    @classmethod
    def fingerprint_inputs(cls, batch_name: Any = None, **given: Any) -> int:
        names = [name for name in batch_name or () if isinstance(name, str)]
        return sum(times_lost(name) for name in names if explain(lambda: check_name(name)) is True)  # noqa: B023


def times_lost(name: str) -> int:
    """How often videos of a batch were found to have gone after they were written: ComfyUI then runs the node again."""
    out = batch_path(name)
    if not all(video.exists() for video in WRITTEN.get(out, ())):
        LOST[out] += 1
        del WRITTEN[out]
    return LOST[out]


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
    lines = [" ".join(line.split()) for text in prompts for line in text.splitlines()]
    found = list(dict.fromkeys(line for line in lines if line))
    if not found:
        raise ConfigError(got="no prompt", expected="at least one line of text", mend="Write one prompt per line.")
    return found


def prepare(
    cls: type[EditClips],
    clips: Sequence[ListedClip],
    prompts: Sequence[str],
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
    from ...tav_core.batch.recipe import Recipe
    from ..core.tuning import check_untuned
    from ..sockets.bridge import check_conditioning
    from .core_stages import CoreParts

    options = options or {"tuning": {}, "modes": {}}
    tuning = {**options["tuning"], "num_steps": tuning_steps, "learning_rate": learning_rate, "seed": tune_seed}
    judges = {"clip_model": clip_model, "dino": dino_model}
    recipe = Recipe(
        model="the MODEL input",
        device=str(comfy.model_management.get_torch_device()),
        tuning=TuneConfig(**{**tuning, "memory": memory}),
        sampling=EditConfig(num_steps=sampling_steps, guidance_scale=cfg),
        **{name: "" if choice == NONE else str(find_weights(choice)) for name, choice in judges.items()},
    )
    check_untuned(model)
    out = batch_path(batch_name)
    check_output(out / "results.csv")
    parts = CoreParts(model=model, clip=clip, vae=vae, modes=options["modes"], watch=partial(watch, cls, tuning_steps))
    for prompt in ("", negative, *prompts):
        check_conditioning(parts.encode(prompt), model, f"the prompt {prompt!r}")
    jobs = make_jobs(clips, prompts, negative)
    return Batch(jobs=jobs, recipe=recipe, hashes=hash_all(parts, recipe, out), out=out), parts


def watch(cls: type[EditClips], num_steps: int, job: ClipJob) -> Any:
    """What shows a tuning on the node."""
    from ..tuning.cockpit import Cockpit

    return Cockpit(cls.hidden.unique_id, num_steps, None, 0, title=job.name)


def make_jobs(clips: Sequence[ListedClip], prompts: Sequence[str], negative: str) -> list[ClipJob]:
    """One job per clip, with all prompts."""
    from ...tav_core.batch.manifest.jobs import ClipJob, Edit

    kinds: dict[str, str] = {}
    for prompt in prompts:
        kinds[name_edit(prompt, kinds)] = prompt
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
        for clip in clips
    ]


def name_edit(prompt: str, taken: Mapping[str, str]) -> str:
    """The name of an edit and of its file: its prompt's words, and a number if another has these."""
    from ...tav_core.paths import as_file_name

    stem = as_file_name(prompt)
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (stem, *numbered) if name not in taken)


def hash_all(parts: CoreParts, recipe: Recipe, out: Path) -> dict[str, str]:
    """The hashes of the models and of the judges, as the keys of the stages take them."""
    from ...tav_core.batch.hashes import hash_path
    from ...tav_core.batch.job_folder import read_json, write_json
    from ..core.weights_hash import combine, hash_clip, hash_model, hash_vae

    path = out / "hashes.json"
    known = read_json(path)
    judges = {name: hash_path(getattr(recipe, name), known) for name in ("clip_model", "dino") if getattr(recipe, name)}
    if judges:
        write_json(path, known)
    # Modes have no place of their own in the keys: they are a part of the model that is tuned.
    model = combine(hash_model(parts.model), repr(sorted(parts.modes.items())))
    return {"model": model, "vae": hash_vae(parts.vae), "tokenizer": hash_clip(parts.clip), **judges}


def run_clip(cls: type[EditClips], batch: Batch, parts: CoreParts, at: int) -> list[ListedEdit]:
    """Does what is left of one clip; its edits, with what became of them."""
    import comfy.model_management

    from ...tav_core.batch.holding import hold_patiently
    from ...tav_core.batch.job_folder import JobFolder
    from ...tav_core.batch.results import job_rows
    from ...tav_core.batch.run_job import PATIENCE, Host, attempt
    from .core_stages import CoreStages
    from .node_status import NodeStatus

    job, recipe = batch.jobs[at], batch.recipe
    folder, where = JobFolder(batch.out / "jobs" / job.folder), f"clip {at + 1} of {len(batch.jobs)}, {job.name}"
    host = Host(
        stages=partial(CoreStages, parts=parts),
        status=partial(NodeStatus, where=where, show=partial(show_text, cls)),
        cancels=(comfy.model_management.InterruptProcessingException,),
    )
    with hold_patiently(folder.lock, PATIENCE) as is_held:
        if not is_held:
            raise ConfigError(
                got=f"the clip {job.name} of a batch that another ComfyUI is busy with",
                expected="one at a time",
                mend="Wait for the other, or choose another batch_name.",
            )
        payload = {"hashes": batch.hashes, "run": uuid.uuid4().hex}
        outcome = attempt(job, recipe, payload, folder, host=host)
    if outcome["failures"]:
        logging.warning("Edit Clips: %s: %s", job.name, outcome["failures"])
        comfy.model_management.soft_empty_cache()
    settings = recipe.as_json()
    rows = job_rows(job, recipe, batch.hashes, batch.out)
    return [ListedEdit(out=batch.out, row=row, settings=settings) for row in rows]


def locate(video: Path) -> ui.SavedResult:
    """A video in the output folder, as the page asks for it."""
    folder = video.parent.relative_to(folder_paths.get_output_directory()).as_posix()
    return ui.SavedResult(video.name, folder, io.FolderType.output)


def describe(edits: Sequence[ListedEdit]) -> str:
    """How many edits are done, and a line for each clip that failed, or edit if only some of a clip's did."""
    lines = [f"{sum(edit.is_done for edit in edits)} of {len(edits)} edits are done"]
    told = {(edit.row["name"], edit.row["error"]): None for edit in edits if not edit.is_done}
    return "\n".join([*lines, *(f"{name}: {error}" for name, error in told)])
