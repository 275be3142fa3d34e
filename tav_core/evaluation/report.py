"""Writes the report: one HTML page that contains everything and loads nothing.

    report            videos to bytes, and the page to a file
    page              the page: videos, table, charts, settings
    charts            a chart as SVG

The page has no script, and its content policy forbids scripts and requests. Text from a motion file or a prompt is
shown as text and never interpreted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic_files import whole_file
from ..errors import ConfigError
from ..paths import check_output_path
from .page import PageVideo, ReportVideo, build_page

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ReportVideo", "write_report"]


def write_report(
    path: str | Path,
    videos: Sequence[ReportVideo],
    *,
    fps: float,
    losses: Sequence[float] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    title: str = "Tune-A-Video report",
) -> Path:
    """Writes a page with the videos side by side, their scores, the curves and the settings.

    Args:
        path: the file to write; it should end in .html. An existing file is replaced atomically.
        videos: one or more, the source first if there is one.
        fps: frames per second of the videos that say none of their own.
        losses: the loss of each tuning step, as `read_losses` in tuning/state.py returns them.
        settings: tables of names and values by heading, for example {"Motion": dataclasses.asdict(motion.info)}.
        title: the page's title.

    Returns:
        The path written.

    Raises:
        ConfigError: there are no videos, or no video can have this rate.
        InputError: the frames have another shape or number type, or hold values that are not finite.
        OutputError: the file cannot be written.
    """
    if not videos:
        raise ConfigError(got="no videos", expected="one or more", mend="Give the source, an edit, or both.")
    shown = [PageVideo(video, *encode_video(video.frames, fps if video.fps is None else video.fps)) for video in videos]
    page = "\n".join(build_page(shown, losses=losses, settings=settings or {}, title=title))
    path = check_output_path(path)
    with whole_file(path) as temporary:
        # A prompt in a file may contain a lone surrogate, which UTF-8 cannot encode.
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


def encode_video(frames: Tensor, fps: float, encoders: Collection[str] | None = None) -> tuple[str, bytes]:
    """Encodes a video in a format that browsers play; returns its media type and its bytes.

    Args:
        encoders: names of the available encoders, PyAV's own by default. Without H.264, it writes an animated WebP.
    """
    from ..video.encode import choose_mp4_encoder
    from ..video.write import write_video

    kind, ending = ("image/webp", ".webp") if choose_mp4_encoder(encoders) == "mpeg4" else ("video/mp4", ".mp4")
    with tempfile.TemporaryDirectory() as folder:
        return kind, write_video(Path(folder) / f"video{ending}", frames, fps=fps).read_bytes()
