"""The report: one HTML page that holds everything, and asks nobody for anything.

    report            videos to bytes, and the page to a file
    page              the page: videos, table, charts, settings
    charts            a chart as SVG

There is no script in the page, and its content policy forbids any, and every request: what a motion file or a prompt
says is shown as text and never interpreted.
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
        path: of the page; it should end in .html. An existing file is replaced, in one step.
        videos: one or more, the source first if there is one.
        fps: frames a second of all videos.
        losses: of each tuning step, as `read_losses` in tuning/state.py gives them.
        settings: tables of names and values by their headings, as {"Motion": dataclasses.asdict(motion.info)}.
        title: of the page.

    Returns:
        The path written.

    Raises:
        ConfigError: no videos, or a rate that no video can have.
        InputError: frames of another shape or number type, or not finite.
        OutputError: the file cannot be written.
    """
    if not videos:
        raise ConfigError(got="no videos", expected="one or more", mend="Give the source, an edit, or both.")
    shown = [PageVideo(video, *encode_video(video.frames, fps)) for video in videos]
    page = "\n".join(build_page(shown, losses=losses, settings=settings or {}, title=title))
    path = check_output_path(path)
    with whole_file(path) as temporary:
        # A prompt in a file may hold half a character, which no encoding can write.
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


def encode_video(frames: Tensor, fps: float, encoders: Collection[str] | None = None) -> tuple[str, bytes]:
    """The media type and the bytes of a video that browsers play.

    Args:
        encoders: names to choose the H.264 encoder from; PyAV's own by default. Without one it is an animated WebP.
    """
    from ..video.encode import choose_mp4_encoder
    from ..video.write import write_video

    kind, ending = ("image/webp", ".webp") if choose_mp4_encoder(encoders) == "mpeg4" else ("video/mp4", ".mp4")
    with tempfile.TemporaryDirectory() as folder:
        return kind, write_video(Path(folder) / f"video{ending}", frames, fps=fps).read_bytes()
