"""The metadata of a motion file: where the motion comes from, and which models it fits. They are checked before use."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import MotionError
from ..models.attention_modes import GROUP_NORMS, TEMPORAL_BLOCKS, check_positions, visible_frames
from ..models.conditioning import are_size_ids
from ..models.families import ARCHITECTURE
from ..settings import is_number, is_whole
from ..video.config import FITS, ClipInfo

# Of a file with whole differences and temporal attention in all blocks, which all versions of this pack read.
FORMAT_VERSION = 1
# Of a file with low-rank factors, or with temporal attention in the last blocks alone.
NEWEST_FORMAT = 2
# The modes that a file means if it does not name them.
UNNAMED_MODES = {"attention": "sparse_causal", "attention_k": 2, "group_norm": "clip", "positions": "none"}
# The same for where the temporal attention is, which is no mode that a UNet can change.
UNNAMED_TEMPORAL = "all"


@dataclass(frozen=True, kw_only=True)
class MotionInfo:
    """Where a motion comes from. It is shown to users and never executed.

    Args:
        architecture: the fields `ARCHITECTURE` of the base UNet's config.
        base_hash: `tensor_files.digest` of the base UNet's weights.
        prompt: the prompt that it was tuned with.
        num_frames, start, stride, fps, width, height, fit: the clip that it was tuned on, and how it was read, see
            `read_clip`; if unknown, stride and fps are 0 and fit is empty.
        modes: attention mode, group norm and positions of the UNet in tuning, and which blocks have temporal attention;
            "none" if positions are not named, "all" if the blocks are not.
        config: the tuning settings.
        steps_done: how many tuning steps were done.
        size_ids: the sizes that SDXL's UNet was told, see `Conditioning`; empty for other families.
        pack_version: version of this library.
        format_version: version of the file format.
    """

    architecture: Mapping[str, Any]
    base_hash: str
    prompt: str = ""
    num_frames: int = 0
    start: int = 0
    stride: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    fit: str = ""
    modes: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    steps_done: int = 0
    size_ids: list[int] = field(default_factory=list)
    pack_version: str = ""
    format_version: int = FORMAT_VERSION

    @property
    def all_modes(self) -> dict[str, Any]:
        """The modes with what a file does not name, among them which blocks have temporal attention."""
        return {**UNNAMED_MODES, "temporal": UNNAMED_TEMPORAL, **self.modes}

    def to_metadata(self) -> dict[str, str]:
        """The fields as text; sizes only where there are any."""
        fields = dataclasses.asdict(self)
        return {name: json.dumps(value) for name, value in fields.items() if name != "size_ids" or value}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> MotionInfo:
        """Reads what `to_metadata` wrote; fields of later formats are left out.

        Raises:
            KeyError, TypeError, ValueError: these are not the metadata of a motion.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        info = cls(**{name: json.loads(value) for name, value in metadata.items() if name in known})
        if not all(isinstance(part, dict) for part in (info.architecture, info.modes, info.config)):
            raise TypeError("architecture, modes and config should be objects")
        return info


def is_motion(metadata: Mapping[str, str]) -> bool:
    """Whether the metadata of a safetensors file are those of a motion, as far as their names tell."""
    return "base_hash" in metadata


def read_info(path: str | Path, metadata: Mapping[str, str]) -> MotionInfo:
    """Reads and checks the metadata of a motion file."""
    refuse_later_format(path, metadata)
    try:
        info = MotionInfo.from_metadata(metadata)
        check_info(info)
    # JSON that is nested too deeply raises RecursionError.
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise MotionError(
            got=f"{path}, whose metadata is not a motion's ({error})",
            expected="a file written by Motion.save",
            mend="Give a motion file; import_original reads a UNet that the original saved.",
        ) from error
    return info


def refuse_later_format(path: str | Path, metadata: Mapping[str, str]) -> None:
    """Refuses a file of a later version of this pack, whose metadata may be anything."""
    written = metadata.get("format_version", "0")
    if written.isdecimal() and len(written) < 9 and int(written) > NEWEST_FORMAT:
        raise MotionError(
            got=f"{path}, a motion of format {written}",
            expected=f"format {NEWEST_FORMAT} or older",
            mend="Update this pack.",
        )


def check_info(info: MotionInfo) -> None:
    """Checks a file's metadata, because its values become sizes, modes and texts elsewhere.

    Raises:
        ValueError, TypeError: a field does not fit; the first such field is named.
    """
    for name in ("num_frames", "start", "stride", "width", "height", "steps_done", "format_version"):
        value = getattr(info, name)
        if not is_whole(value) or not 0 <= value < 2**31:
            raise ValueError(f"{name} should be a whole number")
    for name in ("base_hash", "prompt", "fit", "pack_version"):
        if not isinstance(getattr(info, name), str):
            raise TypeError(f"{name} should be text")
    if info.fit not in ("", *FITS):
        raise ValueError(f"fit should be one of {', '.join(FITS)}")
    if not is_number(info.fps) or not 0 <= info.fps < 1e6:
        raise ValueError("fps should be a number")
    if not isinstance(info.size_ids, list) or (info.size_ids and not are_size_ids(info.size_ids)):
        raise ValueError("size_ids should be six whole numbers")
    if missing := [name for name in ARCHITECTURE if name not in info.architecture]:
        raise ValueError(f"architecture lacks {missing[0]}")
    modes = info.all_modes
    if modes.pop("temporal") not in TEMPORAL_BLOCKS:
        raise ValueError(f"temporal should be one of {', '.join(TEMPORAL_BLOCKS)}")
    if modes.keys() != UNNAMED_MODES.keys() or not is_whole(modes["attention_k"]):
        raise ValueError(f"modes should be {', '.join(UNNAMED_MODES)}")
    check_positions(modes["positions"])
    visible_frames(modes["attention"], 1, modes["attention_k"])
    if modes["group_norm"] not in GROUP_NORMS:
        raise ValueError(f"group_norm should be one of {', '.join(GROUP_NORMS)}")


def describe_clip(about: ClipInfo) -> dict[str, Any]:
    """The fields of `MotionInfo` that come from a clip's info, as plain JSON values; unknown ones are left out."""
    read = about.config
    known = {} if read is None else {"start": int(read.start), "stride": int(read.stride), "fit": read.fit}
    return {"prompt": about.prompt, "fps": float(about.fps), **known}
