"""Measure Video: the consistency of a video, its likeness to prompt and source, its flicker and its motion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...tav_core.errors import ConfigError
from ...tav_core.metrics.scores import PAIRS, format_scores
from ..core.interrupt import interruptible
from ..sockets.bridge import check_images
from ..sockets.graph import QUEUED, explain, read_value
from ..sockets.judges import NONE, CoreClipVision, clip_input, list_dinos, load_judges
from ..sockets.show_text import show_text
from ..sockets.widgets import CATEGORY, schema

Scores = io.Custom("TAV_SCORES")


class MeasureVideo(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVMeasureVideo",
            display_name="Measure Video",
            category=CATEGORY,
            advanced=("pairs",),
            description=(
                "Scores a video: whether its frames agree, whether it shows the prompt, how close it is to the source, "
                "how much it flickers and how it moves. You supply the CLIP and DINO weights; without them, only "
                "flicker and motion are measured."
            ),
            search_aliases=["clip score", "frame consistency", "warp error", "evaluate video", "metrics"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("frames", tooltip="The video, one image per frame; at least three frames."),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="What the video should show, for the CLIP text score. Needs a clip_model; may be empty.",
                ),
                clip_input(),
                io.Combo.Input(
                    "dino_model",
                    options=list_dinos(),
                    default=NONE,
                    tooltip="A DINO such as ViT-S/16: a transformers folder in models/clip_vision or models/diffusers.",
                ),
                io.Combo.Input(
                    "pairs",
                    options=list(PAIRS),
                    default=PAIRS[0],
                    tooltip="Which frames the consistency compares: all pairs, as in the paper, or consecutive ones.",
                ),
                io.Boolean.Input(
                    "motion",
                    default=True,
                    tooltip="Also measures the motion: warp error and diversity. Needs any one of the opencv packages.",
                ),
                io.Image.Input(
                    "source",
                    optional=True,
                    tooltip=(
                        "The clip that the video was made from, with the same number of frames. Likeness and motion "
                        "are compared with it."
                    ),
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="From Load CLIP Vision; used if clip_model is none. It cannot read the prompt.",
                ),
            ],
            outputs=[
                Scores.Output("scores", display_name="scores", tooltip="For Report."),
                io.String.Output("text", display_name="text", tooltip="The scores, one per line."),
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        frames: Tensor,
        prompt: str,
        clip_model: str,
        dino_model: str,
        pairs: str,
        motion: bool,
        source: Tensor | None = None,
        clip_vision: Any = None,
    ) -> io.NodeOutput:
        from ...tav_core.metrics.measure import measure_video

        check_prompt(prompt, clip_model)
        clip, dino = load_judges(clip_model, dino_model)
        if clip is None and clip_vision is not None:
            clip = CoreClipVision(clip_vision)
        scores = measure_video(
            check_images(frames, "frames"),
            source=None if source is None else check_images(source, "source"),
            prompt=prompt.strip() or None,
            clip=clip,
            dino=dino,
            motion=motion,
            pairs=pairs,
            on_step=show_progress(1 + (clip is not None) + (dino is not None) + motion),
        )
        text = format_scores(scores.values)
        return io.NodeOutput(scores, text, ui=show_text(cls, text))

    @classmethod
    def validate_inputs(cls, prompt: Any = None) -> bool | str:
        clip_model = read_value(QUEUED.get(), cls.hidden.unique_id, "clip_model")
        if not isinstance(prompt, str) or not isinstance(clip_model, str):
            return True
        return explain(lambda: check_prompt(prompt, clip_model))


def check_prompt(prompt: str, clip_model: str) -> None:
    """Checks that a prompt comes with a CLIP that can read it.

    ComfyUI's own CLIP cannot serve: a Stable Diffusion checkpoint has no text projection. ComfyUI leaves that weight
    uninitialised, and nothing on the CLIP says so.

    Raises:
        ConfigError: there is a prompt, but no CLIP with a text encoder.
    """
    if prompt.strip() and clip_model == NONE:
        raise ConfigError(
            got="a prompt and clip_model 'none'",
            expected="a complete CLIP, to compare the prompt with the frames",
            mend="Choose a clip_model, or leave the prompt empty. CLIP_VISION alone cannot read a prompt.",
        )


def show_progress(total: int) -> Callable[[str], None]:
    """A callback that advances the node's progress bar after each part, and stops if the user cancelled."""
    import comfy.model_management
    import comfy.utils

    bar = comfy.utils.ProgressBar(total)

    def on_step(step: str) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update(1)

    return on_step
