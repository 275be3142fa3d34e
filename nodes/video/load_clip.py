"""Load Clip: the frames of a video that tuning needs and no others, with their sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ...tav_core.video.audio import read_audio
from ...tav_core.video.clip import read_clip
from ...tav_core.video.config import SIZE_STEP, ClipConfig
from ..core.interrupt import interruptible
from ..sockets.folders import fingerprint
from ..sockets.widgets import CATEGORY, schema, widget

ENDINGS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".gif", ".webp"}


def list_videos() -> list[str]:
    """The videos in ComfyUI's input folder."""
    folder = Path(folder_paths.get_input_directory())
    return sorted(file.name for file in folder.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())


class LoadClip(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVLoadClip",
            display_name="Load Clip (Tune-A-Video)",
            category=CATEGORY,
            description=(
                "Reads the frames of a video that one-shot tuning needs, and resizes them. A long video takes no more "
                "memory than a short one."
            ),
            search_aliases=["load video", "video frames", "tune a video clip"],
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
    def execute(cls, video: str, **choice: Any) -> io.NodeOutput:
        path = Path(folder_paths.get_annotated_filepath(video))
        clip = read_clip(path, ClipConfig(**choice))
        audio = read_audio(path, start=clip.config.start / clip.source_fps, duration=clip.num_frames / clip.fps)
        return io.NodeOutput(clip.frames, clip.fps, clip.num_frames, audio)

    @classmethod
    def fingerprint_inputs(cls, video: str, **choice: Any) -> str:
        return fingerprint(Path(folder_paths.get_annotated_filepath(video)))

    @classmethod
    def validate_inputs(cls, video: str) -> bool | str:
        if folder_paths.exists_annotated_filepath(video):
            return True
        return f"video: got {video!r}. Expected a file in ComfyUI's input folder. Choose one, or upload one."
