"""One-Shot Tune: the model learns the motion of one clip. A cancelled run is kept; queue it again to resume it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui
from torch import Tensor

from ...tav_core.atomic_files import check_output
from ...tav_core.errors import ClipError, ConfigError
from ...tav_core.layouts import VAE_FACTOR
from ...tav_core.tuning.config import TuneConfig
from ...tav_core.video.config import ClipInfo
from ..core.interrupt import interruptible
from ..sockets.bridge import check_images, one_frame, to_context
from ..sockets.folders import motion_path, run_path, shorter_run_path
from ..sockets.graph import QUEUED, explain, find_text
from ..sockets.show_text import warn
from ..sockets.told import Told
from ..sockets.widgets import CATEGORY, EarlyStopType, Motion, TuneOptionsType, schema, seed_widget, widget
from .preview_judge import PreviewJudge, check_previews
from .queue_checks import check_queued, note_written, times_lost

if TYPE_CHECKING:
    from ..core.preview import Prompts
    from .cockpit import Cockpit

NO_PROMPT = (
    "The prompt at positive is empty, so the model learns the motion without a word for what moves, and edits follow "
    "their prompts less. Describe the clip in one sentence, for example: a man is skiing."
)


class OneShotTune(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVOneShotTune",
            display_name="Training: One-Shot Tune",
            category=CATEGORY,
            advanced=("precision", "save_every"),
            description=(
                "Tunes a text-to-image model on one clip. While it runs, the node shows the loss, the time left and "
                "previews. The motion is written to models/tav_motion under the run's name. A cancelled run resumes "
                "where it stopped when it is queued again."
            ),
            search_aliases=[
                "tune a video",
                "train",
                "training",
                "train video",
                "fine-tune",
                "finetune",
                "motion transfer",
                "style transfer",
                "motion lora",
                "one shot",
            ],
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Stable Diffusion 1.x, 2.x or XL, with or without LoRAs. This MODEL is not changed.",
                ),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
                io.Image.Input("frames", tooltip="The clip from Load Clip, one image per frame."),
                io.Conditioning.Input("positive", tooltip="A prompt that describes the clip."),
                widget(TuneConfig, "num_steps"),
                widget(TuneConfig, "learning_rate", step=1e-6),
                seed_widget(
                    TuneConfig, "tune_seed", "Determines the noise and the timesteps that each step learns from."
                ),
                widget(TuneConfig, "precision"),
                widget(
                    TuneConfig,
                    "memory",
                    tooltip=(
                        "auto takes the fastest mode that fits into the free memory. speed keeps all activations; "
                        "balanced recomputes them; low recomputes more of them, holds the frozen weights in half "
                        "precision and shows no previews."
                    ),
                ),
                io.Int.Input(
                    "preview_every",
                    default=100,
                    min=0,
                    max=100_000,
                    tooltip="Steps between previews. A preview takes about as long as ten steps; 0 turns previews off.",
                ),
                widget(TuneConfig, "save_every"),
                io.String.Input(
                    "run_name", default="my_motion", tooltip="Name of the run and of its file in models/tav_motion."
                ),
                widget(
                    TuneConfig,
                    "resume",
                    tooltip=(
                        "If there is already a run of this name: continue resumes it where it stopped, restart starts "
                        "over and replaces it, new refuses to run."
                    ),
                ),
                TuneOptionsType.Input("options", optional=True, tooltip="From Tune Options."),
                io.Conditioning.Input(
                    "preview_positive",
                    optional=True,
                    tooltip="An edited prompt for the previews. Without it, they use the clip's own prompt.",
                ),
                io.Conditioning.Input(
                    "preview_negative",
                    optional=True,
                    tooltip="The empty prompt. Without it, previews are rendered without guidance.",
                ),
                io.Float.Input(
                    "fps",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=1000.0,
                    tooltip="The clip's frames per second, noted in the motion file.",
                ),
                EarlyStopType.Input(
                    "stop_early",
                    optional=True,
                    tooltip="From Stop Early. The run ends when previews stop improving, and gives the best motion.",
                ),
                Motion.Input(
                    "start_from",
                    optional=True,
                    tooltip=(
                        "A motion to go on from, also one of another clip, in place of beginning from nothing. With "
                        "num_steps 0 it comes out as it is."
                    ),
                ),
            ],
            outputs=[
                Motion.Output("motion", display_name="motion", tooltip="For Apply Motion."),
                io.Image.Output("loss_plot", display_name="loss plot", tooltip="A chart of the loss at every step."),
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        model: Any,
        vae: Any,
        frames: Tensor,
        positive: list,
        preview_every: int,
        run_name: str,
        tune_seed: int,
        options: dict[str, Any] | None = None,
        preview_positive: list | None = None,
        preview_negative: list | None = None,
        fps: float = 0.0,
        stop_early: PreviewJudge | None = None,
        start_from: Any = None,
        **settings: Any,
    ) -> io.NodeOutput:
        from ..core.preview import Preview
        from ..core.tuning import tune_model
        from .cockpit import Cockpit

        options = options or {"tuning": {}, "modes": {}}
        config = TuneConfig(seed=tune_seed, **{**options["tuning"], **settings})
        check_frames(frames)
        guided = bool(preview_positive and preview_negative)
        if stop_early is not None:
            check_previews(preview_every=preview_every, guided=guided, memory=config.memory)
        check_run(run_name, config.resume)
        told = Told.of(model, height=frames.shape[1], width=frames.shape[2])
        prompts = read_prompts(told, positive, preview_positive, preview_negative)
        shown = Preview(vae, model, prompts) if preview_every and config.memory != "low" else None
        cockpit = Cockpit(
            cls.hidden.unique_id, config.num_steps, shown, preview_every, judge=stop_early, resume=config.resume
        )
        about = ClipInfo(fps=fps, prompt=find_prompt(cls.hidden.prompt, cls.hidden.unique_id))
        if has_no_prompt(cls.hidden.prompt, cls.hidden.unique_id):
            warn(cls, NO_PROMPT)
        run = {"config": config, "modes": options["modes"], "state_path": run_path(run_name), "about": about}
        with cockpit.watching():
            motion = tune_model(model, vae, frames, prompts, **run, watcher=cockpit, start=start_from)
        motion.save(motion_path(run_name))
        note_written(run_name)
        chart = draw_run(cockpit, run_name)
        return io.NodeOutput(motion, chart, ui=ui.PreviewImage(chart, cls=cls))

    @classmethod
    def validate_inputs(cls, run_name: Any = None) -> bool | str:
        return explain(lambda: check_queued(QUEUED.get(), cls.hidden.unique_id, run_name))

    @classmethod
    def fingerprint_inputs(cls, run_name: Any = None, **given: Any) -> int:
        return times_lost(run_name) if isinstance(run_name, str) else 0


def read_prompts(
    told: Told,
    positive: list,
    preview_positive: list | None,
    preview_negative: list | None,
    *,
    socket: str = "positive",
) -> Prompts:
    """What the CONDITIONINGs at the node's sockets hold for the MODEL.

    Args:
        socket: the name of that for the clip's prompt.

    Raises:
        ConfigError: one that is not a single prompt, or holds more than that.
    """
    from ..core.preview import Prompts

    return Prompts(
        to_context(positive, socket, told),
        preview_positive and to_context(preview_positive, "preview_positive", told),
        preview_negative and to_context(preview_negative, "preview_negative", told),
    )


def draw_run(cockpit: Cockpit, name: str) -> Tensor:
    """The chart of a finished run, as an IMAGE, with the loss of every step, including those before a resume."""
    from ...tav_core.tuning.state import read_losses
    from ..sockets.chart import to_image

    state = run_path(name)
    losses = read_losses(state)
    if len(losses) > cockpit.num_steps:
        losses = read_losses(shorter_run_path(state, cockpit.num_steps))
    return to_image(cockpit.finish(losses))


def check_frames(frames: Tensor, socket: str = "frames") -> None:
    """Checks that the IMAGE at a socket can be tuned on.

    Raises:
        ClipError: it is no video, has a single frame, or its size is not a multiple of 8.
    """
    check_images(frames, socket)
    count, height, width, _ = frames.shape
    if count < 2:
        raise one_frame()
    if height % VAE_FACTOR or width % VAE_FACTOR:
        raise ClipError(
            got=f"frames of {width}x{height}",
            expected=f"a width and height that are multiples of {VAE_FACTOR}",
            mend="Set such a size in Load Clip, or resize the images.",
        )


def check_run(name: str, resume: str) -> None:
    """Checks that a run's motion can be written, and that it would not overwrite another motion.

    Raises:
        ConfigError: there is a motion of this name that this run did not make, or `resume` is "new" and there is any.
        OutputError: there is no permission to write, or no such folder.
    """
    motion, state = motion_path(name), run_path(name)
    if motion.exists() and resume != "restart" and (resume == "new" or not state.exists()):
        raise ConfigError(
            got=f"run_name {name!r}, but there is already a motion of this name: {motion}",
            expected="an unused name, or a run that can be resumed",
            mend="Choose another run_name, or set resume to 'restart' to replace the motion.",
        )
    check_output(motion)


def has_no_prompt(graph: dict[str, Any] | None, node: str | None, socket: str = "positive") -> bool:
    """Whether the text connected to this node's `positive` input is known to be empty."""
    text = find_text(graph, node, socket)
    return text is not None and not text.strip()


def find_prompt(graph: dict[str, Any] | None, node: str | None) -> str:
    """The text connected to this node's `positive` input, to be noted in the motion; "" if it is not plain text."""
    return find_text(graph, node, "positive") or ""
