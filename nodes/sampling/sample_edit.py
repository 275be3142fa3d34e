"""Sample Edit: the clip again, under another prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from torch import Tensor

from ...tav_core.errors import ConfigError, LatentsError
from ...tav_core.sampling.config import EditConfig, LocalEditConfig
from ..sockets.bridge import check_samples, check_start_is_whole
from ..sockets.widgets import CATEGORY, Trajectory, schema, seed_widget, widget

if TYPE_CHECKING:
    from ...tav_core import invert
    from ...tav_core.sampling.edit import Correct


class SampleEdit(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVSampleEdit",
            display_name="Sample Edit (Tune-A-Video)",
            category=CATEGORY,
            description="Renders the clip under an edited prompt, from its inverted latent: DDIM with guidance.",
            search_aliases=["video edit", "ksampler video", "ddim sampler"],
            inputs=[
                io.Model.Input(
                    "model", tooltip="From Apply Motion, the same as for DDIM Invert; a ControlNet may differ."
                ),
                io.Conditioning.Input("positive", tooltip="The edited prompt, with a ControlNet if you like."),
                io.Conditioning.Input(
                    "negative", tooltip="The empty prompt, as in the paper, or what should not be seen."
                ),
                io.Latent.Input("latent", tooltip="The inverted latent of DDIM Invert."),
                widget(EditConfig, "num_steps"),
                widget(
                    EditConfig,
                    "guidance_scale",
                    id="cfg",
                    display_name="cfg",
                    min=1.0,
                    step=0.5,
                    tooltip="How strongly the prompt leads; 1 is no guidance. 7.5 to 12.5 is usual.",
                ),
                widget(EditConfig, "eta"),
                seed_widget(EditConfig, "edit_seed", "Of the fresh noise that eta adds; at eta 0 it changes nothing."),
                Trajectory.Input(
                    "trajectory",
                    optional=True,
                    tooltip="Of the inversion: its steps and frames are then checked. o_belm needs it.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "Where to edit, in white: one mask, or one a frame. Needs the trajectory. Give it to Composite "
                        "Edit too."
                    ),
                ),
                widget(
                    LocalEditConfig,
                    "feather",
                    optional=True,
                    tooltip="Pixels beyond the mask in which the edit fades out, as in Composite Edit; 0: a hard edge.",
                ),
            ],
            outputs=[io.Latent.Output("latent", display_name="latent", tooltip="For VAE Decode.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: list,
        negative: list,
        latent: dict[str, Any],
        num_steps: int,
        cfg: float,
        eta: float,
        edit_seed: int,
        trajectory: invert.Trajectory | None = None,
        mask: Tensor | None = None,
        feather: int = LocalEditConfig().feather,
    ) -> io.NodeOutput:
        from ...tav_core.sampling.edit import check_start, edit
        from ..core.sampling import run_stage
        from ..sockets.bridge import to_latents

        # Guidance is core's here, so the library's own is off.
        config = EditConfig(num_steps=num_steps, guidance_scale=1.0, eta=eta, seed=edit_seed)
        samples = check_samples(latent)
        check_start_is_whole(latent, trajectory)
        if trajectory is not None:
            start = to_latents(samples, model)
            check_start(trajectory, start, config=config, scheduler=None, num_frames=trajectory.num_frames)
        correct = None if mask is None else keep_source(trajectory, samples, mask, feather)

        def stage(denoiser, latents, report) -> Tensor:
            count = lambda done, total, _: report(done, total)  # noqa: E731
            start = latents if trajectory is None else start_from(trajectory, latents, cfg)
            return edit(denoiser, start, *[denoiser.context] * 2, config=config, on_step=count, correct=correct)

        guided = {"positive": positive, "negative": negative, "guidance_scale": cfg}
        return io.NodeOutput({"samples": run_stage(model, samples, stage, num_steps=num_steps, **guided)})


def keep_source(trajectory: invert.Trajectory | None, samples: Tensor, mask: Tensor, feather: int) -> Correct:
    """What keeps the latents outside a MASK as the inversion of these samples had them.

    Raises:
        ConfigError: no trajectory.
        LatentsError: the trajectory of a clip of another size.
    """
    from ...tav_core.sampling.local_edit import keep_outside
    from ..sockets.bridge import to_mask

    if trajectory is None:
        raise ConfigError(
            got="a mask without a trajectory",
            expected="the trajectory, which knows what was outside the mask",
            mend="Connect trajectory of DDIM Invert.",
        )
    found, expected = samples.shape[-2:], trajectory.latents.shape[-2:]
    if found != expected:
        raise LatentsError(
            got=f"latent of {tuple(found)} for a trajectory of {tuple(expected)}",
            expected="latent and trajectory of one DDIM Invert",
            mend="Connect both outputs of the same node.",
        )
    return keep_outside(trajectory, to_mask(mask), feather=feather)


def start_from(trajectory: invert.Trajectory, latents: Tensor, cfg: float) -> invert.Trajectory:
    """The trajectory with the noise of the LATENT that is connected.

    The library fades an exact inversion's remainder by its own guidance, and here the guidance is core's.
    """
    from ...tav_core.sampling.solvers import fade

    remainder = None if trajectory.remainder is None else fade(trajectory.remainder, cfg)
    return replace(trajectory, latents=latents[None], remainder=remainder)
