"""Load Clips: the clips of a folder, as a list. None is read yet."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ...tav_core.errors import ClipError, ConfigError
from ...tav_core.paths import as_file_name
from ...tav_core.video.config import SIZE_STEP, ClipConfig
from ..core.interrupt import interruptible
from ..sockets.folders import fingerprint, is_file, list_entries
from ..sockets.graph import explain
from ..sockets.show_text import show_text
from ..sockets.widgets import CATEGORY, schema, widget
from ..video.clip_range import REFUSE, SHORT, read_choice
from ..video.load_clip import ENDINGS
from .clip_list import ClipFile, ListedClip

# The input folder itself.
HERE = "."


class LoadClips(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVLoadClips",
            display_name="Batch: Load Clips",
            category=CATEGORY,
            description=(
                "Lists the clips of a folder for Edit Clips, which reads one after the other. What a clip shows is "
                "said by a text file beside it, ski.txt for ski.mp4, or by the widget for all."
            ),
            search_aliases=["load videos", "video folder", "batch", "directory", "dataset", "load video list"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=list_folders(),
                    tooltip="A folder in ComfyUI's input folder that has clips; press R to refresh the list.",
                ),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="What the clips show, for those that have no text file of their name beside them.",
                ),
                widget(ClipConfig, "start", max=2**31),
                widget(ClipConfig, "stride", max=1000),
                widget(ClipConfig, "num_frames", max=4096),
                widget(ClipConfig, "width", max=8192, step=SIZE_STEP),
                widget(ClipConfig, "height", max=8192, step=SIZE_STEP),
                widget(ClipConfig, "fit"),
                io.Boolean.Input(
                    "keep_aspect",
                    default=False,
                    tooltip=(
                        "Takes each video's own aspect ratio: width and height are then the limits of the size, which "
                        "is as large as fits, in multiples of 8."
                    ),
                ),
                io.Combo.Input(
                    "if_short",
                    options=list(SHORT),
                    default=REFUSE,
                    tooltip="What to do with a video that has too few frames: refuse it, or take those that it has.",
                ),
            ],
            outputs=[
                ClipFile.Output("clips", display_name="clips", is_output_list=True, tooltip="A list: for Edit Clips."),
                io.String.Output("names", display_name="names", is_output_list=True, tooltip="The clips' names."),
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, folder: str, prompt: str, **widgets: Any) -> io.NodeOutput:
        choice = read_choice(widgets)
        paths = list_clips(find_folder(folder))
        names = name_clips(paths)
        clips = [
            ListedClip(name=name, path=path, prompt=told, choice=choice)
            for name, path, told in zip(names, paths, read_prompts(paths, prompt), strict=True)
        ]
        show_text(cls, describe(clips))
        return io.NodeOutput(clips, names)

    @classmethod
    def fingerprint_inputs(cls, folder: str | None = None, **given: Any) -> str:
        # None for a name that comes over a wire.
        found = list_clips(find_folder(folder)) if folder else []
        return "\n".join(f"{path.name} {fingerprint(path)} {fingerprint(path.with_suffix('.txt'))}" for path in found)

    @classmethod
    def validate_inputs(cls, folder: str | None = None) -> bool | str:
        return folder is None or explain(lambda: find_folder(folder))


def list_folders() -> list[str]:
    """The folders in ComfyUI's input folder that hold clips, with slashes; "." for the input folder itself.

    Folders that are linked into it count, too.
    """
    root, found, seen = Path(folder_paths.get_input_directory()), [], set()
    for place, inner, files in os.walk(root, followlinks=True):
        folder = Path(place)
        if folder.resolve() in seen:
            inner.clear()
            continue
        seen.add(folder.resolve())
        if any(is_clip(folder / name) for name in files):
            found.append(folder.relative_to(root).as_posix())
    return sorted(found)


def find_folder(folder: str) -> Path:
    """The path of a folder that `list_folders` gives.

    Raises:
        ConfigError: there is no such folder with clips in it, or the name leads elsewhere.
    """
    if folder not in list_folders():
        raise ConfigError(
            got=f"folder {folder!r}",
            expected="a folder in ComfyUI's input folder that has clips in it",
            mend="Copy one there, press R to refresh the list, and choose it.",
        )
    return Path(folder_paths.get_input_directory()) / folder


def is_clip(path: Path) -> bool:
    """Whether a path is a video that can be read, by its name; hidden files are none."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".") and is_file(path)


def list_clips(folder: Path) -> list[Path]:
    """The clips directly in a folder, by name."""
    return [path for path in list_entries(folder) if is_clip(path)]


def name_clips(paths: Sequence[Path]) -> list[str]:
    """A name for each clip's folder: that of its file, with the ending if others differ in nothing else, and with a few
    digits of a hash if that does not tell it apart either. A new clip never takes over the folder of another.
    """
    tries = [[as_file_name(text, empty="clip") for text in (path.stem, path.name)] for path in paths]
    claims = Counter(name for each in tries for name in set(each))
    names = []
    for path, (stem, whole) in zip(paths, tries, strict=True):
        digits = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        names.append(next((name for name in (stem, whole) if claims[name] == 1), f"{stem}-{digits}"))
    return names


def read_prompts(paths: Sequence[Path], otherwise: str) -> list[str]:
    """What each clip shows: the text of the file beside it, in one line, or what is said of all.

    Raises:
        ClipError: nothing is said of some.
    """
    from ...tav_core.tuning.video_layers.captioned_folder import read_caption

    told = [" ".join((read_caption(path).strip() or otherwise).split()) for path in paths]
    if silent := [path.name for path, text in zip(paths, told, strict=True) if not text]:
        raise ClipError(
            got=f"{', '.join(silent[:8])}{' ...' * (len(silent) > 8)} without a word for what is to be seen",
            expected="a text file of the same name beside each clip, or a prompt for all",
            mend=f"Write one sentence into {Path(silent[0]).with_suffix('.txt')}, such as: a man is skiing.",
        )
    return told


def describe(clips: Sequence[ListedClip]) -> str:
    """The clips and what they show, in lines."""
    told = [f"{clip.name}: {clip.prompt}" for clip in clips[:8]]
    more = len(clips) - len(told)
    return "\n".join([f"{len(clips)} clip{'s' * (len(clips) != 1)}", *told, *([f"and {more} more"] if more else [])])
