"""What goes over the wires of a batch: files and a few words, so that a list of hundreds takes no memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ...tav_core.errors import TavError
from ...tav_core.video.clip import open_source
from ...tav_core.video.config import ClipConfig
from ..video.clip_range import ClipChoice

ClipFile = io.Custom("TAV_CLIP")
EditFile = io.Custom("TAV_EDIT")


@dataclass(frozen=True, kw_only=True)
class ListedClip:
    """A clip that is not yet read.

    Args:
        name: for files and people.
        path: the video.
        prompt: what it shows.
        choice: how it is read.
    """

    name: str
    path: Path
    prompt: str
    choice: ClipChoice

    def read_as(self) -> ClipConfig:
        """How it is read, with its own length and size where the choice takes these. A clip that cannot be read fails
        when its turn comes.
        """
        if not (self.choice.may_be_short or self.choice.keep_aspect):
            return self.choice.config
        try:
            source = open_source(self.path)
            return self.choice.for_source(source, source.timeline)
        except TavError:
            return self.choice.config


@dataclass(frozen=True, kw_only=True)
class ListedEdit:
    """An edit of a batch.

    Args:
        out: the batch's folder.
        row: what it is, its state and its scores, as the results of a batch list them.
        settings: of the batch.
    """

    out: Path
    row: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def is_done(self) -> bool:
        return self.row["state"] == "done"

    @property
    def video(self) -> Path:
        """Its video."""
        return self.out / self.row["video"]
