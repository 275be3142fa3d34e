"""The stages of one job: tune, invert, each edit, the scores. A stage that is done already is not done again."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..denoisers.denoiser import Denoiser, UNetDenoiser
from ..denoisers.windows import ContextWindows, WindowedDenoiser
from ..errors import InputError
from ..models.latents import LatentMoments, decode_latents, encode_frames
from ..models.text import encode_prompt
from ..models.unet import InflatedUNet
from ..sampling.edit import edit as sample_edit
from ..sampling.injection import InjectedDenoiser
from ..sampling.invert import invert
from ..sampling.local_edit import composite, keep_outside
from ..sampling.trajectory import Trajectory
from ..tuning.motion import Motion
from ..tuning.tune import tune
from ..video.clip import VideoClip, read_clip
from ..video.mask import read_mask
from ..video.write import write_video
from .job_folder import JobFolder, read_json, write_json
from .keys import JobKeys, edit_config, kept_steps
from .loading import checkpoint_of
from .manifest.jobs import ClipJob, Edit
from .peak_memory import peak_memory, reset_peak
from .progress import JobStatus
from .recipe import MODE_NAMES, Recipe
from .scoring import score_edit
from .thumbnails import write_thumbnail

if TYPE_CHECKING:
    from torch import Tensor

    from ..checkpoints.load import Checkpoint
    from ..models.conditioning import Conditioning
    from ..tuning.progress import TuneProgress

STAGES = ("tune", "invert", "edits", "scores")


class Stages:
    """The stages of a job.

    Args:
        job: the clip and its edits.
        recipe: the settings.
        hashes: of the recipe's files.
        folder: where the results go.
        status: who is told how far it is.
    """

    def __init__(
        self, job: ClipJob, recipe: Recipe, hashes: Mapping[str, str], folder: JobFolder, status: JobStatus
    ) -> None:
        self.job, self.recipe, self.folder, self.status = job, recipe, folder, status
        inputs = read_json(folder.inputs)
        known = dict(inputs)
        self.keys = JobKeys(job, recipe, hashes, inputs)
        if inputs != known:
            write_json(folder.inputs, inputs)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The batch's model."""
        return checkpoint_of(self.recipe)

    @cached_property
    def clip(self) -> VideoClip:
        """The clip as the list says that it is read."""
        return read_clip(self.job.clip, self.job.config)

    @cached_property
    def latents(self) -> LatentMoments:
        """The clip's latents."""
        return encode_frames(self.checkpoint.vae, self.clip.frames)

    @cached_property
    def denoiser(self) -> Denoiser:
        """The tuned model, from the motion's file: a job that goes on has no other."""
        unet = Motion.load(self.folder.motion).apply_to(self.checkpoint.unet, backend=self.recipe.backend)
        tuned = UNetDenoiser(unet=unet, schedule=self.checkpoint.schedule)
        modes = self.recipe.modes
        if not modes.context_length:
            return tuned
        windows = ContextWindows(length=modes.context_length, overlap=modes.context_overlap)
        return WindowedDenoiser(denoiser=tuned, windows=windows)

    @cached_property
    def editor(self) -> Denoiser:
        """What edits are sampled with: the tuned model, which injects the source if the recipe says so."""
        if self.recipe.injection is None:
            return self.denoiser
        return InjectedDenoiser(
            denoiser=self.denoiser,
            trajectory=self.trajectory,
            source_context=self.encode(self.source_prompt),
            config=self.recipe.injection,
        )

    @property
    def source_prompt(self) -> str:
        """The prompt that the clip is inverted under."""
        return self.job.prompt if self.recipe.source_prompt else ""

    @cached_property
    def trajectory(self) -> Trajectory:
        """The inversion, from its file."""
        return Trajectory.load(self.folder.trajectory)

    def encode(self, prompt: str) -> Conditioning:
        """The conditioning of a prompt."""
        return encode_prompt(self.checkpoint, prompt, long_prompts=self.recipe.long_prompts)

    def do(self, stage: str, key: str, file: Path, work: Callable[[], None]) -> None:
        """Does a stage, unless it is done, and notes what it took."""
        if self.folder.is_done(stage, key, file):
            return
        self.folder.forget(stage)
        self.folder.note(f"{stage} begins")
        self.status.tell(stage)
        reset_peak()
        started = time.monotonic()
        work()
        seconds = round(time.monotonic() - started, 3)
        self.folder.mark_done(stage, key, file, seconds=seconds, peak_memory_mb=peak_memory())
        self.folder.note(f"{stage} is done after {seconds:.1f} s")

    def tune(self) -> None:
        """Tunes on the clip; a run that was broken off goes on."""
        self.do("tune", self.keys.tune, self.folder.motion, self._tune)
        self.folder.remove_states()

    def _tune(self) -> None:
        config = self.recipe.tuning
        if self.recipe.low_memory:
            config = dataclasses.replace(config, memory="low", recompute="auto")
        modes = {name: getattr(self.recipe.modes, name) for name in MODE_NAMES}
        unet = InflatedUNet.from_2d(self.checkpoint.unet, **modes, backend=self.recipe.backend)
        start = self.recipe.start_from
        motion = tune(
            UNetDenoiser(unet=unet, schedule=self.checkpoint.schedule),
            self.latents,
            self.encode(self.job.prompt),
            config=dataclasses.replace(config, resume="continue"),
            state_path=self.folder.state(self.keys.tune),
            about=self.clip.info(self.job.prompt),
            on_step=self.tell_tuning,
            start=Motion.load(start) if start else None,
        )
        motion.save(self.folder.motion)

    def tell_tuning(self, progress: TuneProgress) -> None:
        """Tells of a step of the tuning."""
        left = round(progress.eta_seconds, 1)
        self.status.tell("tune", progress.step, progress.num_steps, loss=progress.loss, seconds_left=left)

    def invert(self) -> None:
        """Inverts the clip under the motion."""
        self.need("tune", self.keys.tune, self.folder.motion)
        self.do("invert", self.keys.invert, self.folder.trajectory, self._invert)

    def _invert(self) -> None:
        trajectory = invert(
            self.denoiser,
            self.latents.mean,
            self.encode(self.source_prompt),
            num_steps=self.recipe.sampling.num_steps,
            method=self.recipe.inversion.method,
            iterations=self.recipe.inversion.iterations,
            fps=self.clip.fps,
            keep=kept_steps(self.job, self.recipe),
            store="cpu",
            on_step=partial(self.status.tell, "invert"),
        )
        trajectory.save(self.folder.trajectory)

    def edit(self, edit: Edit) -> None:
        """Renders an edit."""
        self.need("invert", self.keys.invert, self.folder.trajectory)
        path = self.folder.video(edit.type, self.recipe.modes.format)
        self.do(f"edit {edit.type}", self.keys.edits[edit.type], path, lambda: self._edit(edit, path))

    def _edit(self, edit: Edit, path: Path) -> None:
        frames = self.render(edit)
        write_video(path, frames, fps=self.clip.fps)
        write_thumbnail(self.folder.thumbnail(edit.type), frames)

    def render(self, edit: Edit) -> Tensor:
        """The frames of an edit, `f h w 3` in [0, 1] on the CPU."""
        mask = read_mask(edit.mask, self.clip) if edit.mask else None
        feather = self.recipe.local.feather
        latents = sample_edit(
            self.editor,
            self.trajectory,
            self.encode(edit.prompt),
            self.encode(edit.negative),
            config=edit_config(edit, self.recipe),
            on_step=lambda done, total, latents: self.status.tell(f"edit {edit.type}", done, total),
            correct=None if mask is None else keep_outside(self.trajectory, mask, feather=feather),
        )
        frames = decode_latents(self.checkpoint.vae, latents)[0].cpu()
        if mask is not None:
            frames = composite(self.clip.frames, frames, mask, feather=feather)
        return frames

    def score(self, edit: Edit) -> None:
        """Scores an edit, as its video is on the disk."""
        path = self.folder.video(edit.type, self.recipe.modes.format)
        self.need(f"edit {edit.type}", self.keys.edits[edit.type], path)
        own = self.keys.scores[edit.type]
        if not self.folder.is_scored(edit.type, own):
            self.folder.forget(f"scores {edit.type}")
        self.do(f"scores {edit.type}", own, path, lambda: self._score(edit, path, own))

    def _score(self, edit: Edit, path: Path, key: str) -> None:
        tell = partial(self.status.tell, f"scores {edit.type}")
        found = score_edit(path, edit, self.clip, self.recipe, on_part=lambda part: tell(part=part))
        listed = read_json(self.folder.scores)
        write_json(self.folder.scores, {**listed, edit.type: {"key": key, "prompt": edit.prompt, "scores": found}})

    def need(self, stage: str, key: str, file: Path) -> None:
        """Raises `InputError` unless a stage was done that this one builds on."""
        if not self.folder.is_done(stage, key, file):
            raise InputError(
                got=f"no {stage} of {self.job.name} with today's settings",
                expected=f"{file.name}, which the stage before makes",
                mend="Add that stage to --stages, or leave --stages out.",
            )
