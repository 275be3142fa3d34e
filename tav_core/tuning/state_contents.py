"""What the state of a tuning run holds, written and read; state.py says when, and to which run a file belongs.

param.<name>, exp_avg.<name>, exp_avg_sq.<name>, adam_step.<name>   float32 masters and AdamW's moments
input.mean, input.std, input.context                                what the run is tuned on: the clip, the text
input.<part>                                                        and what else its conditioning holds
losses                                                             one per step done
metadata: step, identity (what distinguishes this run from others), scaler (the fp16 loss scale), settings (what the
    last steps were done with, as far as it changes them), and for early stopping scored_by and scores (step to
    score)
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from .appearance import is_appearance
from .config import TuneConfig

if TYPE_CHECKING:
    from .training_run import TuningRun

MOMENTS = {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq", "adam_step": "step"}
# What each step learns from, besides the clip, the prompt and the seed.
OBJECTIVE = ("window", "min_timestep", "max_timestep", "min_snr_gamma", "noise_offset", "appearance_debias")
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
# The same for runs with low-rank queries.
TAUGHT_LOW_RANK_BY = ("low_rank_learning_rate",)
# The demo's VAE in bf16 differs by 0.2 % from fp32; a clip of eight frames with one replaced by its neighbour, by 18 %.
INPUT_TOLERANCE = 0.01


def identity(run: TuningRun) -> dict[str, Any]:
    """What two runs must share, besides their inputs, so that one can continue where the other stopped. Steps and
    learning rate may differ."""
    return {
        "model": run.base_hash,
        "modules": list(run.config.modules),
        "modes": run.base.recorded_modes,
        "seed": run.config.seed,
        "start": run.start_hash,
        # None for whole queries, as files from before there were others have it.
        "query_rank": run.query_rank or None,
        "appearance_rank": run.appearance_rank or None,
        **{name: given_or_none(run.config, name) for name in OBJECTIVE},
    }


def given_or_none(config: TuneConfig, name: str) -> Any:
    """A setting; None for its default, as files from before the setting existed have it."""
    value = getattr(config, name)
    return None if value == getattr(TuneConfig(), name) else value


def settings(run: TuningRun) -> dict[str, Any]:
    """The settings that change what a run's steps do."""
    has_factors = run.query_rank or run.appearance_rank
    return {name: run.recorded[name] for name in (*TAUGHT_BY, *(TAUGHT_LOW_RANK_BY if has_factors else ()))}


def read_settings(metadata: dict[str, str]) -> dict[str, Any]:
    """The settings in a file, as far as it has any that can be read: they are told, and decide nothing."""
    try:
        saved = json.loads(metadata.get("settings", "{}"))
    except (ValueError, RecursionError):
        return {}
    known = (*TAUGHT_BY, *TAUGHT_LOW_RANK_BY)
    return {name: saved[name] for name in known if name in saved} if isinstance(saved, dict) else {}


def read_scores(metadata: dict[str, str]) -> dict[int, float] | None:
    """The scores by step, empty if the file has none; None if they cannot be read."""
    try:
        scores = json.loads(metadata.get("scores", "{}"))
        return {int(step): float(value) for step, value in scores.items()}
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


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


def inputs(run: TuningRun) -> dict[str, Tensor]:
    """The inputs that a run is tuned on."""
    mean, std, context = run.learned_from
    # The text is "context" in files written before a conditioning could hold more than text.
    told = {"context" if name == "text" else name: part for name, part in context.parts().items()}
    return {"mean": mean, "std": std, **told}


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


def collect(run: TuningRun) -> dict[str, Tensor]:
    """The tensors of a run's state."""
    tensors = collect_trained(run.trainable, run.optimizer)
    tensors |= {f"input.{name}": value for name, value in inputs(run).items()}
    tensors["losses"] = torch.tensor(run.losses, dtype=torch.float64, device="cpu")
    return tensors


def collect_trained(trainable: Mapping[str, nn.Parameter], optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """The trained weights by name, and AdamW's moments of them."""
    tensors: dict[str, Tensor] = {f"param.{name}": parameter for name, parameter in trainable.items()}
    for name, parameter in trainable.items():
        moments = optimizer.state.get(parameter, {})
        tensors |= {f"{key}.{name}": moments[own] for key, own in MOMENTS.items() if own in moments}
    return tensors


def expected_shapes(run: TuningRun, *, moments: Collection[str]) -> dict[str, tuple[int, ...]]:
    """The tensors that a state of this run must hold, with the moments of these weights."""
    # What the conditioning holds has been compared as a whole, in whatever dtype it is.
    shapes = {f"input.{name}": tuple(inputs(run)[name].shape) for name in ("mean", "std")}
    return shapes | trained_shapes(run.trainable, moments=moments)


def trained_shapes(trainable: Mapping[str, nn.Parameter], *, moments: Collection[str]) -> dict[str, tuple[int, ...]]:
    """The tensors of the trained weights that a state must hold, with the moments of some of them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, parameter in trainable.items():
        own = tuple(parameter.shape)
        shapes[f"param.{name}"] = own
        if name in moments:
            shapes |= {f"exp_avg.{name}": own, f"exp_avg_sq.{name}": own, f"adam_step.{name}": ()}
    return shapes


def names_with_moments(trainable: Iterable[str], tensors: Mapping[str, Tensor]) -> set[str]:
    """The weights whose moments a state must hold: all, or none if the fp16 scaler skipped all steps.

    An appearance is due only if it has some: a clip that no step has taken has taught its own nothing.
    """
    found = {name for name in trainable if any(f"{key}.{name}" in tensors for key in MOMENTS)}
    return {name for name in trainable if not is_appearance(name)} | found if found else found


def is_finite(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and bool(torch.isfinite(tensor).all())


def read_list(tensor: Tensor | None) -> list[float] | None:
    """Losses as a list of numbers; None if the tensor does not hold losses."""
    return tensor.tolist() if tensor is not None and tensor.ndim == 1 and tensor.dtype == torch.float64 else None


def restore(run: TuningRun, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Restores a run from a saved state."""
    restore_trained(run.trainable, run.optimizer, tensors)
    for name, value in inputs(run).items():
        value.copy_(tensors[f"input.{name}"])
    restore_scaler(run, json.loads(metadata["scaler"]))
    run.step, run.losses = int(metadata["step"]), tensors["losses"].tolist()
    scores = read_scores(metadata)
    assert scores is not None, "check_whole has read them"
    run.scored_by, run.scores = metadata.get("scored_by", ""), scores


@torch.no_grad()
def restore_trained(
    trainable: Mapping[str, nn.Parameter], optimizer: torch.optim.AdamW, tensors: Mapping[str, Tensor]
) -> None:
    """Writes the weights of a state into those that train, and gives the optimizer its moments of them."""
    for name, parameter in trainable.items():
        parameter.copy_(tensors[f"param.{name}"])
        if f"exp_avg.{name}" in tensors:
            # A fused optimizer counts steps on the parameter's device, another one on the CPU.
            counts_on = parameter.device if optimizer.defaults["fused"] else torch.device("cpu")
            optimizer.state[parameter] = {
                own: tensors[f"{key}.{name}"].to(counts_on if own == "step" else parameter.device)
                for key, own in MOMENTS.items()
            }


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
