"""Report: videos, scores, curves and settings on one page, in ComfyUI's output folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
from comfy_api.latest import io

from ...tav_core.errors import ConfigError
from ..core.interrupt import interruptible
from ..sockets.bridge import check_images
from ..sockets.folders import check_name, run_path, shorter_run_path
from ..sockets.graph import QUEUED, explain, find_twin, is_link, read_input
from ..sockets.show_text import show_text
from ..sockets.widgets import CATEGORY, Motion, schema
from .measure import Scores

if TYPE_CHECKING:
    from ...tav_core.evaluation.report import ReportVideo

SLOTS = "abcd"
REPORTS, ENDING = "tav_reports", ".html"


class Report(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVReport",
            display_name="Report",
            category=CATEGORY,
            description=(
                "Writes one HTML page with up to four videos side by side, their scores and curves, and the motion's "
                "settings. The page is saved in tav_reports in the output folder; it contains everything it shows and "
                "loads nothing from elsewhere."
            ),
            search_aliases=["html report", "compare scores", "save scores"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *(video_input(slot) for slot in SLOTS),
                *(label_input(slot, label) for slot, label in zip(SLOTS, ("source", "edit", "", ""), strict=True)),
                io.Float.Input(
                    "fps", default=8.0, min=0.1, max=1000.0, step=0.1, tooltip="Frames per second of the videos."
                ),
                io.String.Input(
                    "name",
                    default="report",
                    tooltip="File name, without folders or extension. A report that has this name is replaced.",
                ),
                io.String.Input(
                    "run_name",
                    default="",
                    tooltip="The run of One-Shot Tune whose loss is shown. Leave empty for none.",
                ),
                *(scores_input(slot) for slot in SLOTS),
                Motion.Input("motion", optional=True, tooltip="The motion whose settings are shown."),
            ],
            outputs=[io.String.Output("path", display_name="path", tooltip="The path of the page.")],
        )

    @classmethod
    @interruptible
    def execute(cls, fps: float, name: str, run_name: str, motion: Any = None, **given: Any) -> io.NodeOutput:
        from ...tav_core.evaluation.report import write_report

        path = report_path(name)
        videos = collect_videos(given)
        settings = {} if motion is None else {"Motion": dataclasses.asdict(motion.info)}
        write_report(
            path, videos, fps=fps, losses=find_losses(run_name, motion), settings=settings, title=f"Report: {path.stem}"
        )
        return io.NodeOutput(str(path), ui=show_text(cls, str(path)))

    @classmethod
    def validate_inputs(cls, name: Any = None) -> bool | str:
        graph, node = QUEUED.get(), cls.hidden.unique_id
        linked = {slot for slot in SLOTS if is_link(read_input(graph, node, f"video_{slot}"))}
        scored = {slot for slot in SLOTS if is_link(read_input(graph, node, f"scores_{slot}"))}

        def check() -> None:
            check_scored(linked, scored)
            check_one_of_name(graph, node)
            if isinstance(name, str):
                report_path(name)

        return explain(check)


def video_input(slot: str) -> io.Input:
    return io.Image.Input(f"video_{slot}", optional=slot > "a", tooltip=f"Frames of the video under label {slot}.")


def label_input(slot: str, default: str) -> io.Input:
    return io.String.Input(f"label_{slot}", default=default, tooltip=f"Written above video {slot}.")


def scores_input(slot: str) -> io.Input:
    return Scores.Input(f"scores_{slot}", optional=True, tooltip=f"The scores of video {slot}, from Measure Video.")


def collect_videos(given: dict[str, Any]) -> list[ReportVideo]:
    """The videos that are connected, with labels and scores.

    Raises:
        ConfigError: scores are connected whose video is not.
    """
    from ...tav_core.evaluation.report import ReportVideo

    there = [slot for slot in SLOTS if given.get(f"video_{slot}") is not None]
    check_scored(set(there), {slot for slot in SLOTS if given.get(f"scores_{slot}") is not None})
    return [
        ReportVideo(
            label=given.get(f"label_{slot}") or slot,
            frames=check_images(given[f"video_{slot}"], f"video_{slot}"),
            scores=given.get(f"scores_{slot}"),
        )
        for slot in there
    ]


def check_scored(videos: set[str], scored: set[str]) -> None:
    """Raises `ConfigError` unless there is a video for all scores, each given by its label's letter."""
    for slot in sorted(scored - videos):
        raise ConfigError(
            got=f"scores_{slot} without video_{slot}",
            expected="the video that the scores belong to",
            mend=f"Connect video_{slot}, or disconnect scores_{slot}.",
        )


def check_one_of_name(graph: Any, node: str | None) -> None:
    """Checks that no other Report of a graph writes the same page.

    Raises:
        ConfigError: another does, and one page would replace the other.
    """
    if name := find_twin(graph, node, "TAVReport", "name", lambda text: report_path(text).stem):
        raise ConfigError(
            got=f"two Reports with the name {name}",
            expected="a name for each: one page would replace the other",
            mend="Change one of the names.",
        )


def report_path(name: str) -> Path:
    """Where the page of this name is written."""
    folder = Path(folder_paths.get_output_directory()) / REPORTS
    return folder / (check_name(name.strip().removesuffix(ENDING)) + ENDING)


def find_losses(run_name: str, motion: Any = None) -> list[float]:
    """The losses of a run of One-Shot Tune; none for an empty name.

    Args:
        motion: what the report is of. If the run has come further, these are the losses up to its steps.

    Raises:
        ConfigError: there is no such run.
    """
    from ...tav_core.tuning.state import read_losses

    if not run_name.strip():
        return []
    path = run_path(run_name)
    if not path.is_file():
        raise ConfigError(
            got=f"run_name {run_name!r}, but there is no such run: {path}",
            expected="the name of a run of One-Shot Tune, or an empty name",
            mend="Enter the run_name of One-Shot Tune, or leave it empty.",
        )
    shorter = path if motion is None else shorter_run_path(path, motion.info.steps_done)
    return read_losses(shorter if shorter.is_file() else path)
