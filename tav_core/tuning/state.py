"""The resumable state of a tuning run: one safetensors file, written completely or not at all.

No random state is stored, because all random draws of a step come from the seed and the step's number. A resumed run
uses the stored inputs, because the same clip encoded with other thread counts or kernels differs in its last digits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..atomic_files import check_output
from ..errors import ConfigError, FewerSteps, OutOfMemory
from ..paths import check_output_path
from ..tensor_files import load_tensors, save_tensors
from .background import BackgroundSaver
from .state_contents import (
    collect,
    describe,
    expected_shapes,
    identity,
    inputs,
    is_finite,
    is_json_object,
    names_with_moments,
    read_list,
    read_scores,
    read_settings,
    restore,
    same_input,
    settings,
    state_bytes,
)

if TYPE_CHECKING:
    from .training_run import TuningRun


class RunState:
    """Saves a run to a file and restores it from the file.

    Args:
        path: the file; None saves nothing.
        run: the run.
    """

    def __init__(self, path: str | Path | None, run: TuningRun) -> None:
        self.path = None if path is None else check_output_path(path)
        self.run = run
        self.saver = BackgroundSaver()
        self.saved: tuple[int, str, dict[int, float]] | None = None
        # What the steps in the file were done with; empty for a new run, and for files of before this was saved.
        self.settings: dict[str, Any] = {}
        # Taken now, because the model's hash takes long: a run that is cancelled has to be saved at once.
        self.identity = identity(run)

    def begin(self) -> None:
        """Restores the run from a file that exists already, or refuses to, as `config.resume` says.

        Raises:
            ConfigError: the file is of another run, or must not exist; FewerSteps, if it has more steps than asked for.
        """
        if self.path is None or not self.path.exists() or self.run.config.resume == "restart":
            return
        if self.run.config.resume == "new":
            raise ConfigError(
                got=f"a run that is there already, {self.path}",
                expected="no such file, because resume is 'new'",
                mend="Choose another name, or set resume to 'continue' or 'restart'.",
            )
        tensors, metadata = load_tensors(self.path, error=ConfigError, what="the state of a tuning run")
        self.check_identity(metadata)
        self.check_inputs(tensors)
        self.check_whole(tensors, metadata)
        self.check_steps(int(metadata["step"]))
        restore(self.run, tensors, metadata)
        self.settings = read_settings(metadata)
        self.saved = self.reached

    def check_room(self) -> None:
        """If steps are left, checks before taking them that the state can be saved.

        Raises:
            OutputError: there is no permission, or too little space beside the present state.
        """
        if self.path is not None and self.run.step < self.run.config.num_steps:
            check_output(self.path, size=state_bytes(self.run))

    @property
    def reached(self) -> tuple[int, str, dict[int, float]]:
        """What tells whether a saved state is up to date: the step, and the scores."""
        return self.run.step, self.run.scored_by, dict(self.run.scores)

    @property
    def is_saved(self) -> bool:
        """Whether there is nothing to write: this step and its scores are on disk already, or no step was done yet."""
        none_yet = not self.run.step and self.run.config.num_steps > 0
        return self.path is None or self.saved == self.reached or none_yet

    def save(self) -> None:
        """Writes the state, unless it is saved.

        Raises:
            OutputError, OutOfMemory: the file cannot be written; the old one is unchanged.
        """
        self.saver.settle()
        if not self.is_saved:
            self.write(collect(self.run), describe(self.run), self.reached)

    def save_in_background(self) -> None:
        """Begins to write the state while the run goes on; see `BackgroundSaver` for when a save is left out.

        Raises:
            OutputError: the last save in the background failed.
        """
        if self.is_saved:
            return
        about, reached = describe(self.run), self.reached
        try:
            self.saver.start(collect(self.run), lambda tensors: self.write(tensors, about, reached))
        except OutOfMemory:
            self.save()

    def write(
        self, tensors: Mapping[str, Tensor], metadata: dict[str, str], reached: tuple[int, str, dict[int, float]]
    ) -> None:
        """Writes a state, and notes which one it was."""
        assert self.path is not None, "without a file, nothing is to be saved"
        save_tensors(self.path, tensors, metadata)
        self.saved = reached

    def unused_settings(self) -> dict[str, tuple[Any, Any]]:
        """The settings of the steps in the file that differ from those asked for: what they were, what is asked for."""
        asked = settings(self.run)
        return {name: (used, asked[name]) for name, used in self.settings.items() if used != asked[name]}

    def check_identity(self, metadata: dict[str, str]) -> None:
        """Raises ConfigError if the file belongs to a run of another model, other settings or other draws."""
        try:
            saved = json.loads(metadata["identity"])
        except (KeyError, ValueError, RecursionError) as error:
            raise self.refusal("its identity cannot be read") from error
        if not isinstance(saved, dict):
            raise self.refusal("its identity is no object")
        for name, value in self.identity.items():
            if saved.get(name) != value:
                raise self.another_run(name, saved.get(name), value)

    def check_inputs(self, tensors: dict[str, Tensor]) -> None:
        """Raises ConfigError if the file belongs to a run on another clip or prompt."""
        given = {f"input.{name}": value.cpu() for name, value in inputs(self.run).items()}
        saved = {name: tensor for name, tensor in tensors.items() if name.startswith("input.")}
        if not same_input(saved.get("input.mean"), given["input.mean"]):
            raise self.another_run("clip")
        told = (given.keys() | saved.keys()) - {"input.mean", "input.std"}
        changed = {name for name in told if name not in given or not same_input(saved.get(name), given[name])}
        if changed:
            raise self.another_run("size that the model is told" if changed == {"input.size_ids"} else "prompt")

    def check_whole(self, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Raises ConfigError unless the state is complete: an incomplete one would continue as a different run."""
        step = metadata.get("step", "")
        if not (step.isdecimal() and len(step) < 10 and is_json_object(metadata.get("scaler", ""))):
            raise self.refusal("its step or its scaler cannot be read")
        if read_scores(metadata) is None:
            raise self.refusal("its scores cannot be read")
        losses = read_list(tensors.get("losses"))
        if losses is None or len(losses) != int(step):
            raise self.refusal(f"it has no loss for each of its {step} steps")
        moments = names_with_moments(self.run.trainable, tensors) if int(step) else ()
        for name, shape in expected_shapes(self.run, moments=moments).items():
            found = tensors.get(name)
            if found is None or tuple(found.shape) != shape or not is_finite(found):
                raise self.refusal(f"its {name} is missing, of another shape, or holds no finite numbers")

    def check_steps(self, done: int) -> None:
        """Raises FewerSteps if the run has done more steps than asked for, because steps cannot be undone."""
        if done > self.run.config.num_steps:
            raise FewerSteps(
                got=f"num_steps {self.run.config.num_steps} for a run that has done {done}, {self.path}",
                expected=f"{done} or more, because resume is 'continue'",
                mend=f"Use {done} for its motion as it is. For fewer, choose another name, or set resume to 'restart'.",
            )

    def refusal(self, why: str) -> ConfigError:
        assert self.path is not None, "only a file that exists is checked"
        return not_a_state(self.path, why)

    def another_run(self, what: str, saved: Any = None, asked: Any = None) -> ConfigError:
        """The error for a file whose clip, prompt, or setting differs. A setting that is None has its default."""
        values = "" if saved == asked or what == "model" else f" ({told(saved)}, and asked for is {told(asked)})"
        return ConfigError(
            got=f"the state of another run, {self.path}: its {what} is not the one asked for{values}",
            expected=f"the {what} that the run began with",
            mend="Choose another name for the run, or set resume to 'restart'.",
        )


def told(value: Any) -> str:
    """A setting in words; None is how its default is saved."""
    return "the default" if value is None else str(value)


def read_losses(path: Path) -> list[float]:
    """The loss of every step of the run that a state file holds."""
    tensors, _ = load_tensors(path, error=ConfigError, what="the state of a tuning run")
    losses = read_list(tensors.get("losses"))
    if losses is None:
        raise not_a_state(Path(path), "it has no losses")
    return losses


def not_a_state(path: Path, why: str) -> ConfigError:
    return ConfigError(
        got=f"{path}, which is not the state of a tuning run: {why}",
        expected="a complete file that tune wrote",
        mend="Choose another name for the run, or set resume to 'restart' to begin it again.",
    )
