"""What One-Shot Tune can say of a graph before anything runs: its settings, its name, its previews, its clip."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ...tav_core.tuning.config import TuneConfig, check_has_steps
from ..sockets.bridge import one_frame
from ..sockets.folders import check_name, find_given, motion_path
from ..sockets.graph import Feed, explain, find_feed, is_link, read_input, read_value
from .preview_judge import check_previews

# Nodes that give the pictures of a file: one, or as many as a GIF or an animated WebP has.
FILES, EMPTY_IMAGE = ("LoadImage", "LoadImageOutput"), "EmptyImage"
# The inputs that clips come in by: of One-Shot Tune, and of Tune Several Clips.
CLIPS = ("frames", *(f"frames_{slot}" for slot in "abcde"))
# How often a motion's file was found missing after this process had written it, or one that was written with it.
WRITTEN: dict[Path, int] = {}
BESIDE: dict[Path, tuple[Path, ...]] = {}
MISSING: set[Path] = set()


def check_queued(graph: Any, node: str | None, run_name: Any) -> None:
    """Checks what the widgets say of a run, here and on the nodes that are linked to this one.

    Args:
        graph: the graph that is queued; None if it is not known.
        run_name: the name of the run; None if it is linked.

    Raises:
        ConfigError: the name cannot be a file's, or settings contradict each other.
        ClipError: the clip has one frame.
    """
    if isinstance(run_name, str):
        check_name(run_name)
    if read_input(graph, node, "run_name") is None:
        return
    check_settings_together(graph, node)
    check_preview_links(graph, node)
    for name in CLIPS:
        check_clip(graph, node, name)


def check_settings_together(graph: Any, node: str | None) -> None:
    """Checks the settings of this node together with those of Tune Options, as far as they are not linked."""
    options = find_feed(graph, node, "options")
    holders = [node] if options is None else [node, options.node]
    names = {field.name for field in dataclasses.fields(TuneConfig)} - {"seed", "modules", "betas"}
    said = [(name, read_value(graph, holder, name)) for holder in holders for name in names]
    known = {name: value for name, value in said if value is not None}
    if not {"num_steps", "warmup_steps"} <= known.keys():
        known.pop("warmup_steps", None)
    TuneConfig(**known)
    check_has_steps(known.get("num_steps", 1), starts=is_link(read_input(graph, node, "start_from")))


def check_preview_links(graph: Any, node: str | None) -> None:
    """Checks that there are previews for Stop Early to score; see `check_previews`."""
    every, memory = read_value(graph, node, "preview_every"), read_value(graph, node, "memory")
    if is_link(read_input(graph, node, "stop_early")) and every is not None and memory is not None:
        links = (read_input(graph, node, name) for name in ("preview_positive", "preview_negative"))
        check_previews(preview_every=every, guided=all(map(is_link, links)), memory=memory)


def check_clip(graph: Any, node: str | None, name: str) -> None:
    """Checks that the frames at an input come from a node that gives more than one.

    Raises:
        ClipError: Load Clip is set to one frame, or a single image is linked.
    """
    feed = find_feed(graph, node, name)
    if feed and (gives_one_picture(graph, feed) or read_value(graph, feed.node, "num_frames") == 1):
        raise one_frame()


def gives_one_picture(graph: Any, feed: Feed) -> bool:
    """Whether a node is known to give a single picture."""
    if feed.class_type == EMPTY_IMAGE:
        return read_input(graph, feed.node, "batch_size") in (None, 1)
    image = read_value(graph, feed.node, "image")
    return feed.class_type in FILES and count_pictures(find_given(image)) == 1


def count_pictures(path: Path | None) -> int:
    """How many pictures ComfyUI's Load Image gives of a file; 0 if that is not known."""
    from PIL import Image

    if path is None:
        return 0
    try:
        with Image.open(path) as file:
            # The second picture in a camera's MPO is a preview, which ComfyUI leaves out.
            return 1 if file.format == "MPO" else getattr(file, "n_frames", 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0


def note_written(name: str, *beside: Path) -> None:
    """Notes that a run's motion was written, and files beside it, so that `times_lost` knows when one has gone."""
    WRITTEN.setdefault(motion_path(name), 0)
    BESIDE[motion_path(name)] = beside
    MISSING.discard(motion_path(name))


def times_lost(name: str) -> int:
    """How often a motion's file, or one that was written with it, was found to have gone.

    For ComfyUI's cache: the number stays the same while the files are there, so that a second queue costs nothing, and
    changes when one has gone, so that the node writes it again. It is 0 for a name that is refused when the node runs.
    """
    if explain(lambda: check_name(name)) is not True:
        return 0
    path = motion_path(name)
    is_whole = all(file.exists() for file in (path, *BESIDE.get(path, ())))
    if path in WRITTEN and not is_whole and path not in MISSING:
        MISSING.add(path)
        WRITTEN[path] += 1
    return WRITTEN.get(path, 0)
