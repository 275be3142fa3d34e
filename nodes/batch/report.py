"""Batch Report: all edits of a batch on one page and as a table, beside their videos."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..core.interrupt import interruptible
from ..sockets.show_text import show_text
from ..sockets.widgets import CATEGORY, schema
from .clip_list import EditFile, ListedEdit


class BatchReport(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVBatchReport",
            display_name="Batch: Report",
            category=CATEGORY,
            description=(
                "Writes one page and one CSV of all edits, with a picture, the scores and the state of each: what "
                "failed stands there with its reason. Both lie beside the videos, in output/tav_batches."
            ),
            search_aliases=["batch report", "html report", "csv", "results table", "compare scores"],
            is_output_node=True,
            is_input_list=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                EditFile.Input("edits", tooltip="From Edit Clips."),
                EditFile.Input("more_edits", optional=True, tooltip="Of another Edit Clips, to compare two batches."),
            ],
            outputs=[io.String.Output("path", display_name="path", tooltip="The path of the page.")],
        )

    @classmethod
    @interruptible
    def execute(cls, edits: list[ListedEdit], more_edits: list[ListedEdit] | None = None) -> io.NodeOutput:
        path = write_report([*edits, *(more_edits or [])])
        return io.NodeOutput(str(path), ui=show_text(cls, str(path)))


def write_report(edits: Sequence[ListedEdit]) -> Path:
    """Writes index.html and results.csv into the folder of the first edit's batch; the path of the page."""
    from ...tav_core.batch.page import write_page
    from ...tav_core.batch.results import write_results

    out = edits[0].out
    several = {edit.out for edit in edits} != {out}
    rows = [seen_from(out, edit, split=several) for edit in edits]
    settings = {edit.out.name: dict(edit.settings) for edit in edits}
    write_results(out, rows)
    return write_page(out, rows, settings if several else settings[out.name])


def seen_from(out: Path, edit: ListedEdit, *, split: bool) -> dict[str, Any]:
    """An edit's row with its files as seen from another batch's folder; batches are then told apart as splits."""
    row = {**edit.row, **({"split": edit.out.name} if split else {})}
    if edit.out != out:
        row["job"] = relative(edit.out / "jobs" / row["job"], out / "jobs")
        row["video"] = row["video"] and relative(edit.video, out)
    return row


def relative(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path, start)).as_posix()
