"""Builds the report's page. All text from outside is escaped here with html.escape."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..metrics.scores import SCORES
from ..version import __version__
from .charts import COLOURS, draw_lines, draw_losses

if TYPE_CHECKING:
    from torch import Tensor

    from ..metrics.measure import VideoScores

POLICY = "default-src 'none'; media-src data:; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1180px; padding: 0 1rem }
body { color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
.videos, .charts { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0 } .videos figure { flex: 1 1 230px; max-width: 512px }
.charts figure { flex: 1 1 420px; max-width: 560px }
video, .videos img { width: 100%; background: #eee } svg { width: 100% }
figcaption { font-weight: 600; overflow-wrap: anywhere }
.charts figcaption span, td span { font-weight: 400; color: #666; font-size: .85em }
table { border-collapse: collapse } th, td { text-align: left; padding: .3rem .8rem .3rem 0 }
th, td { border-bottom: 1px solid #ddd; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums } td.best { font-weight: 700 }
td.value { overflow-wrap: anywhere; white-space: pre-wrap }
i.key { display: inline-block; width: .8em; height: .8em; margin-right: .4em }
footer { margin-top: 2.5rem; color: #666; font-size: .85em }
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportVideo:
    """One video of a report.

    Args:
        label: its name on the page.
        frames: `f h w 3` in [0, 1], or uint8.
        scores: its scores, if it was measured.
        fps: its frames per second; None for those of the report.
    """

    label: str
    frames: Tensor
    scores: VideoScores | None = None
    fps: float | None = None


class PageVideo(NamedTuple):
    """A video as it is embedded in the page: with its media type and its bytes."""

    video: ReportVideo
    kind: str
    data: bytes


def build_page(
    videos: Sequence[PageVideo],
    *,
    losses: Sequence[float],
    settings: Mapping[str, Mapping[str, Any]],
    title: str,
) -> list[str]:
    """The lines of the page."""
    scored = [(video.label, video.scores) for video in (shown.video for shown in videos) if video.scores is not None]
    return [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        '<div class="videos">',
        *map(show_video, videos),
        "</div>",
        *(score_table(scored) if scored else ()),
        *(score_charts(scored) if scored else ()),
        *(loss_chart(losses) if losses else ()),
        *(line for heading, values in settings.items() for line in settings_table(heading, values)),
        f"<footer>Made by comfyui-tune-a-video {__version__}. Nothing on this page is loaded from elsewhere.</footer>",
        "</body></html>",
    ]


def show_video(shown: PageVideo) -> str:
    """A video under its label."""
    address = f"data:{shown.kind};base64,{base64.b64encode(shown.data).decode()}"
    label = html.escape(shown.video.label)
    player = (
        f'<video src="{address}" controls autoplay loop muted playsinline></video>'
        if shown.kind == "video/mp4"
        else f'<img src="{address}" alt="{label}">'
    )
    return f"<figure><figcaption>{label}</figcaption>{player}</figure>"


def score_table(scored: Sequence[tuple[str, VideoScores]]) -> list[str]:
    """A table with one row per score that any video has; the best value in a row is bold."""
    heads = "".join(f"<th>{html.escape(label)}</th>" for label, _ in scored)
    lines = ["<h2>Scores</h2>", f"<table><tr><th></th>{heads}</tr>"]
    for name, about in SCORES.items():
        values = [scores.values.get(name, math.nan) for _, scores in scored]
        if any(name in scores.values for _, scores in scored):
            better = f"; {about.better} is better" if about.better else ""
            told = f"<td>{about.label}{better}<br><span>{html.escape(about.tells)}</span></td>"
            lines.append(f"<tr>{told}{''.join(number_cells(values, about.better, about.digits))}</tr>")
    return [*lines, "</table>"]


def number_cells(values: Sequence[float], better: str, digits: int) -> list[str]:
    """Table cells of numbers."""
    finite = [value for value in values if math.isfinite(value)]
    best = {"higher": max, "lower": min}[better](finite) if better and len(finite) > 1 else None
    return [
        f'<td class="number{" best" * (value == best)}">{f"{value:.{digits}f}" if math.isfinite(value) else "–"}</td>'
        for value in values
    ]


def score_charts(scored: Sequence[tuple[str, VideoScores]]) -> list[str]:
    """One chart per score that has curves, each with all videos."""
    keys = "&emsp;".join(
        f'<i class="key" style="background:{COLOURS[number % len(COLOURS)]}"></i>{html.escape(label)}'
        for number, (label, _) in enumerate(scored)
    )
    lines = ["<h2>Frame by frame</h2>", f"<p>{keys}</p>", '<div class="charts">']
    for name, about in SCORES.items():
        curves = {f"{number}: {label}": scores.curves.get(name, ()) for number, (label, scores) in enumerate(scored)}
        if any(curves.values()):
            chart = draw_lines(curves, first=about.first_frame, across="frame")
            lines.append(f"<figure><figcaption>{about.label}</figcaption>{chart}</figure>")
    return [*lines, "</div>"]


def loss_chart(losses: Sequence[float]) -> list[str]:
    """The loss of the tuning run."""
    caption = f"<figcaption>loss <span>{len(losses)} steps, and their running mean</span></figcaption>"
    return ["<h2>Tuning</h2>", f'<div class="charts"><figure>{caption}{draw_losses(losses)}</figure></div>']


def settings_table(heading: str, values: Mapping[str, Any]) -> list[str]:
    """A table of names and values; names of nested settings are joined with dots."""
    rows = [
        f'<tr><td>{html.escape(name)}</td><td class="value">{html.escape(text)}</td></tr>'
        for name, text in flatten(values).items()
    ]
    return [f"<h2>{html.escape(heading)}</h2>", "<table>", *rows, "</table>"]


def flatten(values: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Settings as text, by their dotted names."""
    texts: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            texts |= flatten(value, f"{above}{name}.")
        elif isinstance(value, list | tuple):
            texts[f"{above}{name}"] = ", ".join(map(str, value))
        else:
            texts[f"{above}{name}"] = str(value)
    return texts
