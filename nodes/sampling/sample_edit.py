"""Sample Edit: renders the clip with another prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from torch import Tensor

from ...tav_core.errors import LatentsError
from ...tav_core.sampling.config import EditConfig, LocalEditConfig
from ..core.interrupt import interruptible
from ..sockets.bridge import check_samples, check_start_is_whole, no_noise, steps_left
from ..sockets.graph import QUEUED, explain
from ..sockets.widgets import CATEGORY, Trajectory, schema, seed_widget, widget
from .queue_checks import check_queued, mask_alone

if TYPE_CHECKING:
    from ...tav_core.sampling import trajectory as trajectories
    from ...tav_core.sampling.samplers import Correct


class SampleEdit(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVSampleEdit",
            display_name="Video to Video: Sample Edit",
            category=CATEGORY,
            advanced=("eta", "edit_seed", "feather", "noise_prior", "guidance_until", "resample"),
            description=(
                "Renders the clip with an edited prompt, from its inverted latent or from an animation, by DDIM with "
                "guidance."
            ),
            search_aliases=[
                "tune a video",
                "video to video",
                "vid2vid",
                "v2v",
                "style transfer",
                "motion transfer",
                "edit video",
                "video editing",
                "restyle video",
                "ksampler video",
                "ddim sampler",
            ],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The same MODEL as for DDIM Invert; it may have passed Inject Source."),
                io.Conditioning.Input("positive", tooltip="The edited prompt; a ControlNet may be on it."),
                io.Conditioning.Input(
                    "negative", tooltip="The empty prompt, as in the paper, or what should not appear."
                ),
                io.Latent.Input("latent", tooltip="From DDIM Invert, or from Animation Start."),
                widget(EditConfig, "num_steps"),
                widget(
                    EditConfig,
                    "guidance_scale",
                    id="cfg",
                    display_name="cfg",
                    min=1.0,
                    step=0.5,
                    tooltip=(
                        "How strongly the edit follows the prompt; 7.5 to 12.5 is usual, 5 to 7.5 for SDXL; 1 turns "
                        "guidance off."
                    ),
                ),
                widget(EditConfig, "eta"),
                seed_widget(
                    EditConfig,
                    "edit_seed",
                    "Seed of the noise that eta, a noise_prior below 1 and resample add; else it has no effect.",
                ),
                Trajectory.Input(
                    "trajectory",
                    optional=True,
                    tooltip=(
                        "The inversion's trajectory. If connected, its step and frame counts are checked. o_belm, "
                        "dpmpp_2m and a mask need it."
                    ),
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "The area to edit, in white: one mask for all frames, or one per frame. Needs the trajectory. "
                        "Connect the same mask to Composite Edit."
                    ),
                ),
                widget(
                    LocalEditConfig,
                    "feather",
                    optional=True,
                    tooltip=(
                        "Pixels beyond the mask over which the edit fades out, as in Composite Edit; 0 gives a hard "
                        "edge."
                    ),
                ),
                widget(EditConfig, "noise_prior", optional=True),
                widget(EditConfig, "guidance_until", optional=True),
                widget(EditConfig, "resample", optional=True),
            ],
            outputs=[io.Latent.Output("latent", display_name="latent", tooltip="For VAE Decode.")],
        )

    @classmethod
    @interruptible
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
        trajectory: trajectories.Trajectory | None = None,
        mask: Tensor | None = None,
        feather: int = LocalEditConfig().feather,
        noise_prior: float = EditConfig().noise_prior,
        guidance_until: float = EditConfig().guidance_until,
        resample: int = EditConfig().resample,
    ) -> io.NodeOutput:
        from ...tav_core.sampling.edit import check_resample, check_start, edit
        from ..core.animation import from_sigma
        from ..core.sampling import check_no_cache, run_stage
        from ..sockets.bridge import to_latents

        # Guidance is core's here, so the library's own is off, and so is where it ends.
        drawn = {"eta": eta, "seed": edit_seed, "noise_prior": noise_prior, "resample": resample}
        config = EditConfig(num_steps=num_steps, guidance_scale=1.0, **drawn)
        check_resample(config, masked=mask is not None)
        check_no_cache(model, config)
        samples = check_samples(latent)
        if not samples.any():
            raise no_noise("an empty latent")
        check_start_is_whole(latent, trajectory)
        steps = steps_left(latent, num_steps, trajectory)
        if trajectory is not None:
            start = to_latents(samples, model)
            check_start(trajectory, start, config=config, scheduler=None, num_frames=trajectory.num_frames)
        correct = None if mask is None else keep_source(trajectory, samples, mask, feather)

        def stage(denoiser, latents, report) -> tuple[Tensor, None]:
            count = lambda done, total, _: report(done, total)  # noqa: E731
            start = latents if trajectory is None else start_from(trajectory, latents, cfg)
            if steps is not None:
                start = from_sigma(latents, denoiser.schedule, steps, num_steps)
            prompts, how = (denoiser.context, denoiser.context), {"correct": correct, "steps": steps}
            return edit(denoiser, start, *prompts, config=config, on_step=count, **how), None

        guided = {"positive": positive, "negative": negative, "guidance_scale": cfg, "guidance_until": guidance_until}
        edited, _ = run_stage(model, samples, stage, num_steps=steps or num_steps, name="Edit", **guided)
        return io.NodeOutput({"samples": edited})

    @classmethod
    def validate_inputs(cls, num_steps: Any = None) -> bool | str:
        return explain(lambda: check_queued(QUEUED.get(), cls.hidden.unique_id, num_steps))


def keep_source(trajectory: trajectories.Trajectory | None, samples: Tensor, mask: Tensor, feather: int) -> Correct:
    """A correction that resets the latents outside a MASK, after each step, to those of the inversion.

    Raises:
        ConfigError: there is no trajectory.
        LatentsError: the trajectory is of a clip of another size.
    """
    from ...tav_core.sampling.local_edit import keep_outside
    from ..sockets.bridge import to_mask

    if trajectory is None:
        raise mask_alone()
    found, expected = samples.shape[-2:], trajectory.latents.shape[-2:]
    if found != expected:
        raise LatentsError(
            got=f"a latent of size {tuple(found)} with a trajectory of size {tuple(expected)}",
            expected="the latent and the trajectory of the same DDIM Invert",
            mend="Connect both outputs of the same node.",
        )
    return keep_outside(trajectory, to_mask(mask), feather=feather)


def start_from(trajectory: trajectories.Trajectory, latents: Tensor, cfg: float) -> trajectories.Trajectory:
    """The trajectory, starting from the noise of the connected LATENT.

    The library fades an exact inversion's remainder by its own guidance scale; here the guidance is ComfyUI's, so the
    remainder is faded by `cfg` first.
    """
    from ...tav_core.sampling.solvers import fade

    remainder = None if trajectory.remainder is None else fade(trajectory.remainder, cfg)
    return replace(trajectory, latents=latents[None], remainder=remainder)
