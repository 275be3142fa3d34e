"""What the UNet of a single file predicts, and on which noise: what is said beside it and in it, else a guess.

The first of these that says something holds; `load_checkpoint` names the option that comes before them all.

    1. NAME.yaml beside NAME.safetensors, the config of LDM, that has a `parameterization` ("v" or "eps")
    2. the tensor `v_pred` in the file, with which ComfyUI and others mark a velocity model
    3. the metadata of the file: the ModelSpec's `modelspec.prediction_type`, ComfyUI's `modelspec.predict_key`, kohya's
       `ss_v_parameterization` and `ss_base_model_version`, and `modelspec.architecture`
    4. such a YAML without a `parameterization`, which is epsilon in LDM
    5. a guess: 1.x predicts epsilon; for 2.x the spread of one bias tells, as in ComfyUI

The tensor `ztsnr` and the metadata `ss_zero_terminal_snr` say that the last timestep is pure noise (arXiv 2305.08891).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..models.families import Family
from .weight_files import WeightFile

EPSILON, VELOCITY = "epsilon", "v_prediction"
# In Stability's velocity models this bias spreads wider than in their epsilon models; ComfyUI tells them apart by the
# same tensor and threshold.
VELOCITY_BIAS = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
VELOCITY_SPREAD = 0.09
VELOCITY_MARK, ZERO_SNR_MARK = "v_pred", "ztsnr"
WORDS = {
    **dict.fromkeys(("eps", "epsilon", "noise"), EPSILON),
    **dict.fromkeys(("v", "v_pred", "v_prediction", "velocity"), VELOCITY),
}
# What some models predict that no family here does.
OTHERS = ("x0", "sample", "x_start", "flow", "flow_matching", "rectified_flow")
# Classes of Stability's later code (sgm), in whose configs they stand for a parameterization.
SCALINGS = {"VScaling": VELOCITY, "EpsScaling": EPSILON}
METADATA = ("modelspec.prediction_type", "modelspec.predict_key", "prediction_type")
YAML_SUFFIXES = (".yaml", ".yml")
# LDM's configs have 2 to 4 KB.
LARGEST_YAML = 1_000_000
SAY_SO = "Say what the model predicts (prediction_type; --prediction-type on the command line), or mend the file."


def find_prediction_type(file: WeightFile, family: Family) -> str:
    """What the UNet of a single file predicts, "epsilon" or "v_prediction"; the order is this module's.

    Raises:
        CheckpointError: the YAML beside it cannot be read, or something says that it predicts neither.
    """
    said, implied = read_yaml(file.path)
    marked = VELOCITY if VELOCITY_MARK in file.shapes else None
    return said or marked or read_metadata(file) or implied or guess_prediction_type(file, family)


def has_zero_snr(file: WeightFile) -> bool:
    """Whether a single file says that it was trained with pure noise at the last timestep."""
    return ZERO_SNR_MARK in file.shapes or _is_true(file.metadata.get("ss_zero_terminal_snr"))


def guess_prediction_type(file: WeightFile, family: Family) -> str:
    """Guesses "v_prediction" for weights like those of Stability's velocity models, else the family's usual one."""
    if VELOCITY not in family.predictions or VELOCITY_BIAS not in file.shapes:
        return family.usual_prediction
    bias = file.read(VELOCITY_BIAS)[VELOCITY_BIAS]
    return VELOCITY if bias.float().std(unbiased=False) > VELOCITY_SPREAD else family.usual_prediction


def read_metadata(file: WeightFile) -> str | None:
    """What a file's metadata say of its prediction; None if nothing that is known.

    Raises:
        CheckpointError: they say that it predicts something else than epsilon or velocity.
    """
    metadata = {name.lower(): str(value).strip() for name, value in file.metadata.items()}
    for name in METADATA:
        if said := _understand(metadata.get(name), f"{name} in the metadata of {file.path}"):
            return said
    if (flag := metadata.get("ss_v_parameterization")) is not None:
        return VELOCITY if _is_true(flag) else EPSILON
    architecture, _, _ = metadata.get("modelspec.architecture", "").lower().partition("/")
    if metadata.get("ss_base_model_version", "").lower() in ("sd_v1_v", "sd_v2_v") or architecture.endswith("-768-v"):
        return VELOCITY
    return EPSILON if architecture == "stable-diffusion-v2-512" else None


def read_yaml(path: Path) -> tuple[str | None, str | None]:
    """What the YAML beside a checkpoint says of its prediction, and what it implies by not saying it.

    Raises:
        CheckpointError: it cannot be read, or says that the model predicts something else.
    """
    found = find_yaml(path)
    params = _params(_parse(found)) if found else None
    if found is None or params is None:
        return None, None
    scaling = _dig(params, "denoiser_config", "params", "scaling_config", "target")
    named = SCALINGS.get(_plain(scaling).rpartition(".")[2])
    if "parameterization" not in params:
        return named, EPSILON
    given = params["parameterization"]
    said = _understand(given, f"parameterization in {found}")
    if said is None:
        raise _neither(f"parameterization in {found}", given)
    return said, EPSILON


def find_yaml(path: Path) -> Path | None:
    """The YAML of the same name beside a checkpoint, or beside the file that it is a link to."""
    for place in (path, path.resolve()):
        names = {(name + suffix).lower() for name in (place.stem, place.name) for suffix in YAML_SUFFIXES}
        # A folder may let its files be read, and not be listed.
        with suppress(OSError):
            beside = (other for other in sorted(place.parent.iterdir()) if other.name.lower() in names)
            if found := next((other for other in beside if other.is_file()), None):
                return found
    return None


def _parse(path: Path) -> Any:
    # Slow to import, and needed by few.
    import yaml

    try:
        if path.stat().st_size > LARGEST_YAML:
            raise ValueError(f"it has {path.stat().st_size} bytes")
        content = path.read_bytes()
        if content.lstrip().lower().startswith((b"<!doctype", b"<html")):
            raise ValueError("it is a web page")
        return yaml.safe_load(content)
    except MemoryError:
        raise
    # Its constructors raise more than its own class: AttributeError for a time stamp that is none.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            got=f"{path} beside the checkpoint, which cannot be read as YAML ({reason})",
            expected="the config of this checkpoint",
            mend=f"{SAY_SO} If it does not belong to the checkpoint, rename it.",
        ) from error


def _params(config: Any) -> Mapping[Any, Any] | None:
    """The settings of the model in a config of LDM; None for any other YAML."""
    params = _dig(config, "model", "params")
    return params if isinstance(params, Mapping) else None


def _dig(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _understand(given: Any, where: str) -> str | None:
    word = _plain(given).strip().lower().replace("-", "_")
    if word in OTHERS:
        raise _neither(where, given)
    return WORDS.get(word)


def _plain(value: Any) -> str:
    """A value of a YAML as text, if it is no list or mapping: those may hold each other many times over."""
    return "" if value is None else str(value) if isinstance(value, (str, int, float)) else type(value).__name__


def _neither(where: str, given: Any) -> CheckpointError:
    return CheckpointError(got=f"{_plain(given)[:80]!r} as {where}", expected="epsilon or v", mend=SAY_SO)


def _is_true(flag: Any) -> bool:
    return str(flag).strip().lower() in ("true", "1", "yes")
