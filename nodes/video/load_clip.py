"""Load Clip: the frames of a video that tuning needs and no others, with their sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ...tav_core.video.audio import read_audio
from ...tav_core.video.clip import open_source, take_frames
from ...tav_core.video.config import SIZE_STEP, VIDEO_ENDINGS, ClipConfig
from ...tav_core.video.decode import VideoFile
from ..core.interrupt import interruptible
from ..sockets.folders import fingerprint, is_file, list_entries
from ..sockets.graph import QUEUED
from ..sockets.memory import memory_warning
from ..sockets.show_text import show_text, warn
from ..sockets.widgets import CATEGORY, schema, widget
from .clip_range import REFUSE, SHORT, describe_range, read_choice, why_refused

ENDINGS = {*VIDEO_ENDINGS, ".webp"}


def list_videos() -> list[str]:
    """The videos in ComfyUI's input folder."""
    files = list_entries(Path(folder_paths.get_input_directory()))
    return sorted(file.name for file in files if file.suffix.lower() in ENDINGS and is_file(file))


class LoadClip(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVLoadClip",
            display_name="Load Clip",
            category=CATEGORY,
            advanced=("force_rate", "if_short"),
            description=(
                "Reads the frames of a video that one-shot tuning needs, and resizes them. A long video takes no more "
                "memory than a short one. The node then shows which frames it took."
            ),
            search_aliases=["load video", "video frames", "tune a video clip", "force rate", "frame load cap"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Combo.Input(
                    "video",
                    options=list_videos(),
                    upload=io.UploadType.video,
                    tooltip="A video, GIF or animated WebP in ComfyUI's input folder. The button uploads one.",
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
                    optional=True,
                    tooltip=(
                        "Takes the video's own aspect ratio: width and height are then the limits of the size, which "
                        "is as large as fits, in multiples of 8."
                    ),
                ),
                io.Float.Input(
                    "force_rate",
                    default=0.0,
                    min=0.0,
                    max=1000.0,
                    step=1.0,
                    optional=True,
                    tooltip=(
                        "Frames per second that the video is brought to first, by leaving frames out or repeating "
                        "some; start and stride then count these. 0 keeps the video's own rate."
                    ),
                ),
                io.Combo.Input(
                    "if_short",
                    options=list(SHORT),
                    default=REFUSE,
                    optional=True,
                    tooltip="What to do with a video that has too few frames: refuse it, or take those that it has.",
                ),
            ],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="One image per frame."),
                io.Float.Output(
                    "fps", display_name="fps", tooltip="Frames per second at which the clip plays at natural speed."
                ),
                io.Int.Output("count", display_name="count", tooltip="The number of frames."),
                io.Audio.Output(
                    "audio", display_name="audio", tooltip="The sound of the clip; none if the video is silent."
                ),
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, video: str, **widgets: Any) -> io.NodeOutput:
        path = Path(folder_paths.get_annotated_filepath(video))
        source, choice = open_source(path), read_choice(widgets)
        config = choice.for_source(source, source.timeline)
        if warning := memory_warning(config.num_frames, config.width, config.height):
            warn(cls, warning)
        clip = take_frames(source, config, rate=choice.force_rate or None, may_be_short=choice.may_be_short)
        taken = describe_range(source.timeline, clip.config, choice.rate)
        show_text(cls, "\n".join(filter(None, (taken, warning))))
        opened = source if isinstance(source, VideoFile) else None
        start, duration = clip.config.start / clip.source_fps, clip.num_frames / clip.fps
        audio = read_audio(path, start=start, duration=duration, video=opened)
        return io.NodeOutput(clip.frames, clip.fps, clip.num_frames, audio)

    @classmethod
    def fingerprint_inputs(cls, video: str | None = None, **choice: Any) -> str:
        # None for a name that comes over a wire.
        return fingerprint(Path(folder_paths.get_annotated_filepath(video)) if video else None)

    @classmethod
    async def validate_inputs(cls, video: str) -> bool | str:
        if video is None:
            return True
        if not folder_paths.exists_annotated_filepath(video):
            return f"Got {video!r}. Expected a file in ComfyUI's input folder. Choose one, or upload one."
        path = Path(folder_paths.get_annotated_filepath(video))
        return await why_refused(path, QUEUED.get(), cls.hidden.unique_id)
