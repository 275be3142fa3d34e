"""The resumable state of a training on clips and pictures: one safetensors file, written completely or not at all.

param.<name>, exp_avg.<name>, exp_avg_sq.<name>, adam_step.<name>   float32 masters and AdamW's moments
losses                                                             one per step done
metadata: step, identity (what distinguishes this training from others), scaler (the fp16 loss scale)

No random state is stored, because all draws of a step come from the seed and the step's number; nor are the examples,
which are encoded again from the same files.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...atomic_files import check_output
from ...errors import ConfigError, FewerSteps
from ...paths import check_output_path
from ...tensor_files import digest, load_tensors, save_tensors
from ..state_contents import (
    collect_trained,
    is_finite,
    is_json_object,
    names_with_moments,
    read_list,
    restore_trained,
    trained_shapes,
)
from .captioned_latents import CaptionedLatents
from .run import VideoLayersRun

# What each step learns, besides the examples.
TAUGHT_BY = ("train", "seed", "clips_per_step", "images_per_clip", "image_weight", "text_dropout", "stride")
# What the states of earlier versions do not name.
ADDED = ("stride",)
RESTART = "Choose another state file, or remove this one to begin again."


class VideoLayersState:
    """Saves a training to a file and restores it from the file.

    Args:
        path: the file; None saves nothing.
        run: the training.
    """

    def __init__(self, path: str | Path | None, run: VideoLayersRun) -> None:
        self.path = None if path is None else check_output_path(path)
        self.run = run
        self.saved_step = 0
        # Taken now, because the model's hash takes long: a run that is cancelled has to be saved at once.
        self.identity = {} if path is None else identity(run)

    def begin(self) -> None:
        """Restores the training from its file, if there is one, and checks that it can be saved.

        Raises:
            ConfigError: the file is of another training, or damaged; FewerSteps, if it has more steps than asked for.
            OutputError: the file could not be written.
        """
        if self.path is None:
            return
        if self.path.exists():
            tensors, metadata = load_tensors(self.path, error=ConfigError, what="the state of a training")
            self.check(tensors, metadata)
            self.restore(tensors, metadata)
        if self.run.processes.is_main and self.run.step < self.run.config.num_steps:
            trained = sum(parameter.numel() for parameter in self.run.trainable.values())
            check_output(self.path, size=3 * trained * torch.float32.itemsize)

    def save(self) -> None:
        """Writes the state after the last complete step, in one of the processes.

        Raises:
            OutputError, OutOfMemory: the file cannot be written; the old one is unchanged.
        """
        run = self.run
        if self.path is None or not run.processes.is_main or self.saved_step == run.step:
            return
        scaler = json.dumps(run.scaler.state_dict())
        about = {"step": str(run.step), "identity": json.dumps(self.identity), "scaler": scaler}
        losses = torch.tensor(run.losses, dtype=torch.float64, device="cpu")
        save_tensors(self.path, {**collect_trained(run.trainable, run.optimizer), "losses": losses}, about)
        self.saved_step = run.step

    def check(self, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Raises ConfigError unless the file is a complete state of this very training."""
        step, saved = metadata.get("step", ""), metadata.get("identity", "")
        known = is_json_object(saved) and is_json_object(metadata.get("scaler", ""))
        if not (known and step.isdecimal() and len(step) < 10):
            raise self.refusal("which is not the state of a training on clips", "the file that a training wrote")
        known_as = json.loads(saved)
        for name, value in self.identity.items():
            if name in ADDED and name not in known_as:
                continue
            if (before := known_as.get(name)) != value:
                told = "" if name in ("model", "data") else f" ({before}, and asked for is {value})"
                raise self.refusal(
                    f"the state of another training: its {name} is not the one asked for{told}",
                    f"the {name} that the training began with",
                )
        losses = read_list(tensors.get("losses"))
        moments = names_with_moments(self.run.trainable, tensors) if int(step) else ()
        shapes = trained_shapes(self.run.trainable, moments=moments)
        lost = [name for name, shape in shapes.items() if not fits(tensors.get(name), shape)]
        if lost or losses is None or len(losses) != int(step):
            raise self.refusal(f"a damaged state: its {(*lost, 'losses')[0]} cannot be used", "a complete file")
        if int(step) > self.run.config.num_steps:
            raise FewerSteps(
                got=f"num_steps {self.run.config.num_steps} for a training that has done {step}, {self.path}",
                expected=f"{step} or more: steps cannot be undone",
                mend=f"Use {step} for its model as it is. {RESTART}",
            )

    def refusal(self, found: str, expected: str) -> ConfigError:
        return ConfigError(got=f"{self.path}, {found}", expected=expected, mend=RESTART)

    def restore(self, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Takes up the training where it stopped."""
        run = self.run
        restore_trained(run.trainable, run.optimizer, tensors)
        scaler = json.loads(metadata["scaler"])
        if scaler and run.scaler.is_enabled():
            run.scaler.load_state_dict(scaler)
        run.losses = tensors["losses"].tolist()
        run.step = self.saved_step = int(metadata["step"])


def identity(run: VideoLayersRun) -> dict[str, Any]:
    """What two trainings must share so that one can go on where the other stopped. Steps and rate may differ."""
    settings = {name: getattr(run.config, name) for name in TAUGHT_BY}
    return {"model": digest(run.base.state_dict()), "data": hash_examples(run.data), **settings}


def hash_examples(data: CaptionedLatents) -> str:
    """SHA-256 over the names, captions and sizes of the examples: latents may differ in their last digits."""
    rows = [[one.name, one.caption, list(one.latents.mean.shape)] for one in (*data.clips, *data.pictures)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def fits(tensor: Tensor | None, shape: tuple[int, ...]) -> bool:
    return tensor is not None and tuple(tensor.shape) == shape and is_finite(tensor)
