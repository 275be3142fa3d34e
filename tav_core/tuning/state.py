"""The resumable state of a tuning run: one safetensors file, written completely or not at all.

    param.<name>, exp_avg.<name>, exp_avg_sq.<name>, adam_step.<name>   float32 masters and AdamW's moments
    input.mean, input.std, input.context                                what the run is tuned on: the clip, the text
    input.<part>                                                        and what else its conditioning holds
    losses                                                             one per step done
    metadata: step, identity (what distinguishes this run from others), scaler (the fp16 loss scale), settings (what the
        last steps were done with, as far as it changes them), and for early stopping scored_by and scores (step to
        score)

No random state is stored, because all random draws of a step come from the seed and the step's number. A resumed run
uses the stored inputs, because the same clip encoded with other thread counts or kernels differs in its last digits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..atomic_files import check_output
from ..errors import ConfigError, FewerSteps, OutOfMemory
from ..models.attention_modes import recorded_modes
from ..tensor_files import load_tensors, save_tensors
from .background import BackgroundSaver
from .config import TuneConfig

if TYPE_CHECKING:
    from .training_run import TuningRun

MOMENTS = {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq", "adam_step": "step"}
# What each step learns from, besides the clip, the prompt and the seed.
OBJECTIVE = ("window", "min_timestep", "max_timestep", "min_snr_gamma", "noise_offset")
# Settings that change what a step does, besides those in a run's identity.
TAUGHT_BY = (
    "learning_rate",
    "lr_schedule",
    "warmup_steps",
    "max_grad_norm",
    "weight_decay",
    "betas",
    "epsilon",
    "precision",
)
# The demo's VAE in bf16 differs by 0.2 % from fp32; a clip of eight frames with one replaced by its neighbour, by 18 %.
INPUT_TOLERANCE = 0.01


class RunState:
    """Saves a run to a file and restores it from the file.

    Args:
        path: the file; None saves nothing.
        run: the run.
    """

    def __init__(self, path: str | Path | None, run: TuningRun) -> None:
        self.path = None if path is None else Path(path)
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
        """Whether there is nothing to write: this step and its scores are on disk already, or no step was done."""
        return self.path is None or self.saved == self.reached or not self.run.step

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
                raise self.another_run(name)

    def check_inputs(self, tensors: dict[str, Tensor]) -> None:
        """Raises ConfigError if the file belongs to a run on another clip or prompt."""
        given = {f"input.{name}": value.cpu() for name, value in inputs(self.run).items()}
        saved = {name: tensor for name, tensor in tensors.items() if name.startswith("input.")}
        if not same_input(saved.get("input.mean"), given["input.mean"]):
            raise self.another_run("clip")
        told = (given.keys() | saved.keys()) - {"input.mean", "input.std"}
        if not all(name in given and same_input(saved.get(name), given[name]) for name in told):
            raise self.another_run("prompt")

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
        for name, shape in expected_shapes(self.run, moments=int(step) > 0 and any_moments(tensors)).items():
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

    def another_run(self, what: str) -> ConfigError:
        return ConfigError(
            got=f"the state of another run, {self.path}: its {what} is not the one asked for",
            expected="the same model, clip, prompt, modules, modes, seed and window as when it was saved",
            mend="Choose another name for the run, or set resume to 'restart'.",
        )


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


def read_list(tensor: Tensor | None) -> list[float] | None:
    """Losses as a list of numbers; None if the tensor does not hold losses."""
    return tensor.tolist() if tensor is not None and tensor.ndim == 1 and tensor.dtype == torch.float64 else None


def is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def read_scores(metadata: dict[str, str]) -> dict[int, float] | None:
    """The scores by step, empty if the file has none; None if they cannot be read."""
    try:
        scores = json.loads(metadata.get("scores", "{}"))
        return {int(step): float(value) for step, value in scores.items()}
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def settings(run: TuningRun) -> dict[str, Any]:
    """The settings that change what a run's steps do."""
    return {name: run.recorded[name] for name in TAUGHT_BY}


def read_settings(metadata: dict[str, str]) -> dict[str, Any]:
    """The settings in a file, as far as it has any that can be read: they are told, and decide nothing."""
    try:
        saved = json.loads(metadata.get("settings", "{}"))
    except (ValueError, RecursionError):
        return {}
    return {name: saved[name] for name in TAUGHT_BY if name in saved} if isinstance(saved, dict) else {}


def is_finite(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and bool(torch.isfinite(tensor).all())


def any_moments(tensors: dict[str, Tensor]) -> bool:
    return any(name.startswith(tuple(f"{key}." for key in MOMENTS)) for name in tensors)


def expected_shapes(run: TuningRun, *, moments: bool) -> dict[str, tuple[int, ...]]:
    """The tensors that a state of this run must hold. If the fp16 scaler skipped all steps, there are no moments."""
    # What the conditioning holds has been compared as a whole, in whatever dtype it is.
    shapes = {f"input.{name}": tuple(value.shape) for name, value in (("mean", run.mean), ("std", run.std))}
    for name, parameter in run.trainable.items():
        own = tuple(parameter.shape)
        shapes[f"param.{name}"] = own
        if moments:
            shapes |= {f"exp_avg.{name}": own, f"exp_avg_sq.{name}": own, f"adam_step.{name}": ()}
    return shapes


def inputs(run: TuningRun) -> dict[str, Tensor]:
    """The inputs that a run is tuned on."""
    # The text is "context" in files written before a conditioning could hold more than text.
    told = {"context" if name == "text" else name: part for name, part in run.context.parts().items()}
    return {"mean": run.mean, "std": run.std, **told}


def same_input(saved: Tensor | None, given: Tensor) -> bool:
    """Whether two encodings, on the CPU, are of the same clip or prompt: a relative distance within the tolerance."""
    if saved is None or saved.shape != given.shape:
        return False
    if not given.is_floating_point():
        return torch.equal(saved, given)
    saved, given = saved.float(), given.float()
    return bool((saved - given).norm() <= INPUT_TOLERANCE * saved.norm())


def state_bytes(run: TuningRun) -> int:
    """The size of a run's state in bytes: its weights, their two moments, and its inputs, in float32."""
    trained = sum(parameter.numel() for parameter in run.trainable.values())
    given = sum(value.numel() for value in inputs(run).values())
    return (3 * trained + given) * torch.float32.itemsize


def identity(run: TuningRun) -> dict[str, Any]:
    """What two runs must share, besides their inputs, so that one can continue where the other stopped. Steps and
    learning rate may differ."""
    return {
        "model": run.base_hash,
        "modules": list(run.config.modules),
        "modes": recorded_modes(run.base.modes),
        "seed": run.config.seed,
        **{name: given_or_none(run.config, name) for name in OBJECTIVE},
    }


def given_or_none(config: TuneConfig, name: str) -> Any:
    """A setting; None for its default, as files from before the setting existed have it."""
    value = getattr(config, name)
    return None if value == getattr(TuneConfig(), name) else value


def describe(run: TuningRun) -> dict[str, str]:
    """The metadata of a run's state."""
    return {
        "step": str(run.step),
        "identity": json.dumps(identity(run)),
        "scaler": json.dumps(run.scaler.state_dict()),
        "settings": json.dumps(settings(run)),
        "scored_by": run.scored_by,
        "scores": json.dumps(run.scores),
    }


def collect(run: TuningRun) -> dict[str, Tensor]:
    """The tensors of a run's state."""
    tensors = {f"param.{name}": parameter for name, parameter in run.trainable.items()}
    for name, parameter in run.trainable.items():
        moments = run.optimizer.state.get(parameter, {})
        tensors |= {f"{key}.{name}": moments[own] for key, own in MOMENTS.items() if own in moments}
    tensors |= {f"input.{name}": value for name, value in inputs(run).items()}
    tensors["losses"] = torch.tensor(run.losses, dtype=torch.float64, device="cpu")
    return tensors


def restore(run: TuningRun, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Restores a run from a saved state."""
    with torch.no_grad():
        for name, parameter in run.trainable.items():
            parameter.copy_(tensors[f"param.{name}"])
            if f"exp_avg.{name}" in tensors:
                run.optimizer.state[parameter] = {
                    own: tensors[f"{key}.{name}"].to("cpu" if own == "step" else parameter.device)
                    for key, own in MOMENTS.items()
                }
    for name, value in inputs(run).items():
        value.copy_(tensors[f"input.{name}"])
    restore_scaler(run, json.loads(metadata["scaler"]))
    run.step, run.losses = int(metadata["step"]), tensors["losses"].tolist()
    scores = read_scores(metadata)
    assert scores is not None, "check_whole has read them"
    run.scored_by, run.scores = metadata.get("scored_by", ""), scores


def restore_scaler(run: TuningRun, saved: dict[str, Any]) -> None:
    """Restores the fp16 loss scale of a run; a run that was not in fp16 has none, and begins with the default."""
    if not saved or not run.scaler.is_enabled():
        return
    try:
        run.scaler.load_state_dict(saved)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ConfigError(
            got=f"the state of a run whose scaler is {str(saved)[:100]}",
            expected="the loss scale of a run in fp16",
            mend="Set resume to 'restart', or resume in another precision.",
        ) from error
