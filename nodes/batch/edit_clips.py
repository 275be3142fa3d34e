"""Edit Clips: every clip of a list under every prompt. What is done is kept as files, and not done again."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Sequence
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
from ..sockets.graph import QUEUED, explain, find_twin, read_value
from ..sockets.judges import NONE, clip_input, list_dinos
from ..sockets.show_text import show_text
from ..sockets.widgets import CATEGORY, TuneOptionsType, schema, seed_widget, widget
from .clip_list import ClipFile, EditFile, ListedClip, ListedEdit
from .plan import Batch, only, prepare, split

if TYPE_CHECKING:
    from ...tav_core.batch.manifest.jobs import ClipJob
    from .core_stages import CoreParts

# How many videos the node shows.
MOST_SHOWN = 64
# The states of a clip that another run would not change; memory may be free by then.
FINAL = {"done", "failed"}
# The videos that a batch wrote last, and how often there was more to do for it: some of them had gone, or a clip failed
# that may do better.
WRITTEN: dict[Path, list[Path]] = {}
LOST: Counter[Path] = Counter()
EXAMPLES = "a panda is skiing\nan astronaut is skiing on the moon"


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
        batch, parts = prepare(clips, split(prompts), partial(watch, cls, one["tuning_steps"]), **one)
        edits, states = [], set()
        for at in range(len(batch.jobs)):
            own, state = run_clip(cls, batch, parts, at)
            edits += own
            states.add(state)
        if not states <= FINAL:
            LOST[batch.out] += 1
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
            check_alone(graph, node)
            check_has_steps(1 if steps is None else steps, starts=False)

        return explain(check)

    @classmethod
    def fingerprint_inputs(cls, batch_name: Any = None, **given: Any) -> int:
        names = [name for name in batch_name or () if isinstance(name, str)]
        return sum(times_lost(name) for name in names if explain(lambda: check_name(name)) is True)  # noqa: B023


def check_alone(graph: Any, node: str | None) -> None:
    """Checks that no other Edit Clips of a graph writes into the same folder.

    Raises:
        ConfigError: another does; each would undo what the other did.
    """
    if name := find_twin(graph, node, "TAVEditClips", "batch_name", check_name):
        raise ConfigError(
            got=f"two Edit Clips with the batch_name {name}",
            expected="a name for each: they write into the folder of that name",
            mend="Change one of the names.",
        )


def times_lost(name: str) -> int:
    """How often there was more to do for a batch, see `LOST`: where the number changes, ComfyUI runs the node again."""
    out = batch_path(name)
    if not all(video.exists() for video in WRITTEN.get(out, ())):
        LOST[out] += 1
        del WRITTEN[out]
    return LOST[out]


def watch(cls: type[EditClips], num_steps: int, job: ClipJob) -> Any:
    """What shows a tuning on the node."""
    from ..tuning.cockpit import Cockpit

    return Cockpit(cls.hidden.unique_id, num_steps, None, 0, title=job.name)


def run_clip(cls: type[EditClips], batch: Batch, parts: CoreParts, at: int) -> tuple[list[ListedEdit], str]:
    """Does what is left of one clip; its edits, with what became of them, and its state as `run_job` gives it."""
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
    return [ListedEdit(out=batch.out, row=row, settings=settings) for row in rows], outcome["state"]


def locate(video: Path) -> ui.SavedResult:
    """A video in the output folder, as the page asks for it."""
    folder = video.parent.relative_to(folder_paths.get_output_directory()).as_posix()
    return ui.SavedResult(video.name, folder, io.FolderType.output)


def describe(edits: Sequence[ListedEdit]) -> str:
    """How many edits are done, and a line for each clip that failed, or edit if only some of a clip's did."""
    lines = [f"{sum(edit.is_done for edit in edits)} of {len(edits)} edits are done"]
    told = {(edit.row["name"], edit.row["error"]): None for edit in edits if not edit.is_done}
    return "\n".join([*lines, *(f"{name}: {error}" for name, error in told)])
