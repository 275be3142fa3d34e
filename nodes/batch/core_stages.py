"""The stages of one clip on ComfyUI's models: what the command `batch` does, with a MODEL, CLIP and VAE."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from ...tav_core.batch.job_folder import JobFolder
from ...tav_core.batch.manifest.jobs import ClipJob, Edit
from ...tav_core.batch.progress import JobStatus
from ...tav_core.batch.recipe import MODE_NAMES, Recipe
from ...tav_core.batch.stages import Stages
from ...tav_core.sampling.edit import edit as sample_edit
from ...tav_core.sampling.invert import invert
from ...tav_core.sampling.trajectory import Trajectory
from ...tav_core.tuning.motion import Motion
from ..core.frames import decode_frames, encode_frames
from ..core.motion import apply_motion
from ..core.preview import Prompts
from ..core.sampling import run_stage
from ..core.tuning import Watcher, tune_model
from ..sockets.bridge import to_context, to_latent
from ..sockets.told import Told
from ..tuning.tune import check_frames


@dataclass(frozen=True, kw_only=True, eq=False)
class CoreParts:
    """What all clips of a batch share.

    Args:
        model, clip, vae: ComfyUI's.
        watch: makes what a tuning tells of itself, given the clip's job.
    """

    model: Any
    clip: Any
    vae: Any
    watch: Callable[[ClipJob], Watcher]
    # CONDITIONING by its prompt.
    encoded: dict[str, list] = field(default_factory=dict)

    def encode(self, prompt: str) -> list:
        """The CONDITIONING of a prompt, as CLIP Text Encode gives it."""
        if prompt not in self.encoded:
            self.encoded[prompt] = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(prompt))
        return self.encoded[prompt]


class CoreStages(Stages):
    """The stages of a job.

    Args:
        parts: what all jobs share.
        others: see `Stages`.
    """

    def __init__(
        self, job: ClipJob, recipe: Recipe, hashes: Any, folder: JobFolder, status: JobStatus, *, parts: CoreParts
    ) -> None:
        super().__init__(job, recipe, hashes, folder, status)
        # Edit Clips offers none of these, and a key that names one must not be of a video without it.
        plain = Recipe(model=recipe.model)
        assert (recipe.injection, recipe.inversion, recipe.source_prompt) == (None, plain.inversion, False)
        assert not job.has_masks and not any(edit.mask for edit in job.edits)
        self.parts = parts

    @cached_property
    def tuned(self) -> Any:
        """The MODEL with the motion, from its file: a job that goes on has no other."""
        return apply_motion(self.parts.model, Motion.load(self.folder.motion))

    def _tune(self) -> None:
        frames, parts = self.clip.frames, self.parts
        check_frames(frames)
        told = Told.of(parts.model, height=frames.shape[1], width=frames.shape[2])
        source = to_context(parts.encode(self.job.prompt), "the clip's prompt", told)
        motion = tune_model(
            parts.model,
            parts.vae,
            frames,
            Prompts(source, None, None),
            config=dataclasses.replace(self.recipe.tuning, resume="continue"),
            modes={name: getattr(self.recipe.modes, name) for name in MODE_NAMES},
            state_path=self.folder.state(self.keys.tune),
            about=self.clip.info(self.job.prompt),
            watcher=parts.watch(self.job),
        )
        motion.save(self.folder.motion)

    def _invert(self) -> None:
        num_steps, fps = self.recipe.sampling.num_steps, self.clip.fps
        samples = encode_frames(self.parts.vae, self.clip.frames, on_frame=lambda done, total: None)

        def stage(denoiser: Any, latents: Tensor, report: Callable[[int, int], None]) -> tuple[Tensor, Trajectory]:
            how = {"num_steps": num_steps, "fps": fps, "keep": "ends", "store": "cpu", "on_step": report}
            trajectory = invert(denoiser, latents, denoiser.context, **how)
            return trajectory.noise, trajectory

        run = {"positive": self.parts.encode(""), "num_steps": num_steps, "name": "Invert"}
        _, trajectory = run_stage(self.tuned, samples, stage, **run)
        trajectory.save(self.folder.trajectory)

    def render(self, edit: Edit) -> Tensor:
        """The frames of an edit, `f h w 3` in [0, 1] on the CPU."""
        # Guidance is core's here, so the library's own is off.
        config = dataclasses.replace(self.recipe.sampling, guidance_scale=1.0)
        start = to_latent(self.trajectory.noise, self.parts.model)["samples"]

        def stage(denoiser: Any, latents: Tensor, report: Callable[[int, int], None]) -> tuple[Tensor, None]:
            begun = dataclasses.replace(self.trajectory, latents=latents[None])
            count = lambda done, total, _: report(done, total)  # noqa: E731
            return sample_edit(denoiser, begun, denoiser.context, denoiser.context, config=config, on_step=count), None

        guided = {"positive": self.parts.encode(edit.prompt), "negative": self.parts.encode(edit.negative)}
        run = {"guidance_scale": self.recipe.sampling.guidance_scale, "num_steps": config.num_steps, "name": "Edit"}
        samples, _ = run_stage(self.tuned, start, stage, **guided, **run)
        return decode_frames(self.parts.vae, samples)
