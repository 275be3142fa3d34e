"""Compare Inversions: how exactly each inversion method reproduces a clip, and how long it takes."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from torch import Tensor

from ...tav_core.sampling.config import METHODS, EditConfig, InvertConfig
from ..core.interrupt import interruptible
from ..sockets.bridge import check_samples
from ..sockets.show_text import show_text
from ..sockets.widgets import CATEGORY, schema, widget

if TYPE_CHECKING:
    from ...tav_core.evaluation.compare_inversions import MethodReport, RoundTrip


class CompareInversions(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVCompareInversions",
            display_name="Compare Inversions",
            category=CATEGORY,
            description=(
                "Inverts the clip by each method and samples it back, with the same prompt and without guidance. The "
                "text says how close the result comes to the clip, in dB, and how long it took."
            ),
            search_aliases=["reconstruction", "psnr", "inversion error", "o_belm", "fixed point"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="From Apply Motion."),
                io.Conditioning.Input("conditioning", tooltip="The prompt to invert with, as for DDIM Invert."),
                io.Latent.Input("latent", tooltip="The clip's frames, from VAE Encode."),
                io.Vae.Input("vae", tooltip="The VAE that encoded the frames. Decoded frames are compared too."),
                widget(EditConfig, "num_steps", tooltip="Steps in each direction; 50 in the paper."),
                widget(InvertConfig, "iterations"),
            ],
            outputs=[io.String.Output("text", display_name="text", tooltip="The comparison, one line per method.")],
        )

    @classmethod
    @interruptible
    def execute(
        cls, model: Any, conditioning: list, latent: dict[str, Any], vae: Any, num_steps: int, iterations: int
    ) -> io.NodeOutput:
        from ...tav_core.evaluation.compare_inversions import describe

        reports = compare(model, conditioning, check_samples(latent), vae, num_steps=num_steps, iterations=iterations)
        text = "\n".join(map(describe, reports))
        return io.NodeOutput(text, ui=show_text(cls, text))


def compare(
    model: Any, conditioning: list, samples: Tensor, vae: Any, *, num_steps: int, iterations: int
) -> list[MethodReport]:
    """One report per method, in the library's order. `samples` are a LATENT's, unscaled `f c h w`."""
    from ...tav_core.evaluation.compare_inversions import rate_trips, round_trips
    from ..core.frames import check_has_vae, decode_frames
    from ..core.sampling import run_stage
    from ..sockets.bridge import to_latent, to_latents

    check_has_vae(vae)
    total = 2 * num_steps * len(METHODS)

    def stage(denoiser, latents, report) -> tuple[Tensor, list[RoundTrip]]:
        done, how = count(1), {"num_steps": num_steps, "iterations": iterations}
        tell = lambda: report(next(done), total)  # noqa: E731
        return latents, round_trips(denoiser, latents, denoiser.context, **how, on_step=tell)

    _, trips = run_stage(model, samples, stage, positive=conditioning, num_steps=total, name="Compare")
    # Decoded here and not in the stage: core may take the model off the device for the VAE.
    decode = lambda latents: decode_frames(vae, to_latent(latents, model)["samples"])  # noqa: E731
    return rate_trips(trips, to_latents(samples, model).to(trips[0].latents), decode)
