"""Checks and converts between ComfyUI's values and the library's. Only this file knows that a LATENT is unscaled
`f c h w`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from einops import rearrange
from torch import Tensor

from ...tav_core.errors import ClipError, ConfigError, LatentsError
from ...tav_core.layouts import all_finite
from ...tav_core.models.conditioning import Conditioning, as_conditioning
from ...tav_core.sampling.config import OWN_STEPS
from .told import Told, check_pooled, pooled_width

if TYPE_CHECKING:
    from comfy.latent_formats import LatentFormat
    from comfy.model_patcher import ModelPatcher

    from ...tav_core.sampling.trajectory import Trajectory

# A key of a LATENT beside its samples: the method that inverted it, if sampling follows by steps of that method's own.
METHOD = "tav_method"
# Another: (sampling steps, how many of them are left) for samples that Animation Start has noised.
STEPS = "tav_steps"
ROUNDING = 1e-4
TO_LATENTS, TO_SAMPLES = "f c h w -> 1 c f h w", "1 c f h w -> f c h w"


def check_images(images: Tensor, socket: str) -> Tensor:
    """The colours of an IMAGE that is a video, `f h w 3`; an alpha channel is dropped.

    Raises:
        ClipError: the IMAGE has another rank, no frames or no colours, or does not hold finite floats.
    """
    floats = isinstance(images, Tensor) and images.is_floating_point()
    shape = tuple(images.shape) if isinstance(images, Tensor) else ()
    if not floats or len(shape) != 4 or 0 in shape or shape[-1] not in (3, 4) or not all_finite(images):
        found = f"shape {shape}, {images.dtype}" if shape else f"type {type(images).__name__}"
        raise ClipError(
            got=f"{socket} of {found}{', not all finite numbers' * (floats and not all_finite(images))}",
            expected="an IMAGE: f h w 3, finite floats in [0, 1], one image per frame",
            mend="Connect Load Clip or VAE Decode; convert masks and grey images to RGB first.",
        )
    return images[..., :3]


def one_frame(got: str = "one frame") -> ClipError:
    """What is said of a clip of one frame, wherever that is found."""
    return ClipError(
        got=got,
        expected="at least two: a single picture has no motion to learn",
        mend=(
            "Choose a video in Load Clip, and set num_frames there to 8 or more. To make several frames of one "
            "picture, use Repeat Image Batch."
        ),
    )


def check_conditioning(conditioning: list, model: ModelPatcher, socket: str) -> None:
    """Checks that a CONDITIONING holds text of a MODEL's family; it may hold several prompts.

    Raises:
        ConfigError: there is no prompt, or its text is of another family.
    """
    width, pooled = text_width(model), pooled_width(model)
    if not conditioning:
        raise ConfigError(got=f"no prompt at {socket}", expected="at least one", mend="Connect a CLIP Text Encode.")
    for embeddings, extras in conditioning:
        check_text(embeddings, width, socket, pooled=pooled)
        # ComfyUI takes the embedding of an image in place of the pooled text.
        if pooled and "unclip_conditioning" not in extras:
            check_pooled(extras.get("pooled_output"), pooled, socket)


def check_samples(latent: dict[str, Any], socket: str = "latent") -> Tensor:
    """The samples of a LATENT that holds one clip, `f c h w`, unscaled.

    Raises:
        LatentsError: the LATENT has another rank or number of channels, or a noise mask, which inversion and editing
            do not support.
    """
    samples = latent["samples"]
    if samples.ndim != 4 or samples.shape[1] != 4 or 0 in samples.shape or not samples.is_floating_point():
        raise LatentsError(
            got=f"{socket} of shape {tuple(samples.shape)}",
            expected="f 4 h w, one latent per frame",
            mend="Encode the clip's frames by VAE Encode with a Stable Diffusion VAE.",
        )
    if latent.get("noise_mask") is not None:
        raise LatentsError(
            got=f"{socket} with a noise mask",
            expected="a LATENT without one",
            mend=(
                "Connect the mask to the mask input of Sample Edit. KSampler and the other stock samplers take a "
                "LATENT with a noise mask, on the MODEL of Apply Motion."
            ),
        )
    return samples


def scale_samples(samples: Tensor, latent_format: LatentFormat) -> Tensor:
    """A LATENT's unscaled samples as a model takes them, in float32; the shape stays."""
    return latent_format.process_in(samples.float())


def to_latents(samples: Tensor, model: ModelPatcher) -> Tensor:
    """Unscaled `f c h w` to scaled latents `1 c f h w` in float32."""
    return rearrange(scale_samples(samples, model.get_model_object("latent_format")), TO_LATENTS)


def to_latent(latents: Tensor, model: ModelPatcher) -> dict[str, Tensor]:
    """Scaled latents `1 c f h w` to a LATENT, on the CPU."""
    samples = model.get_model_object("latent_format").process_out(rearrange(latents, TO_SAMPLES))
    return {"samples": samples.detach().cpu()}


def to_mask(mask: Tensor) -> Tensor:
    """A MASK as `f h w`. Some nodes, ComfyUI's own among them, give `h w` or `f 1 h w`.

    Raises:
        ClipError: the mask has another rank, or is empty.
    """
    shape = tuple(mask.shape) if isinstance(mask, Tensor) else ()
    if len(shape) not in (2, 3, 4) or 0 in shape or (len(shape) == 4 and shape[1] != 1):
        raise ClipError(
            got=f"mask of {f'shape {shape}' if shape else type(mask).__name__}",
            expected="a MASK: f h w, one mask per frame, or one for all frames",
            mend="Connect a mask; Convert Image to Mask makes one from images.",
        )
    frames = mask.reshape(-1, *mask.shape[-2:])
    # A blurred mask may be a rounding error above 1.
    rounded = frames.is_floating_point() and frames.min() >= -ROUNDING and frames.max() <= 1 + ROUNDING
    return frames.clamp(0, 1) if rounded else frames


def as_inverted(samples: Tensor, trajectory: Trajectory) -> dict[str, Any]:
    """Inverted samples `f c h w` as a LATENT, marked with the method if sampling needs the trajectory to follow it."""
    return {"samples": samples, METHOD: trajectory.method} if trajectory.method in OWN_STEPS else {"samples": samples}


def check_start_is_whole(latent: dict[str, Any], trajectory: Trajectory | None) -> None:
    """Checks that a LATENT whose inversion has steps of its own comes with its trajectory.

    Raises:
        ConfigError: the trajectory is missing, or is of an inversion by another method.
    """
    if METHOD in latent and (trajectory is None or trajectory.method != latent[METHOD]):
        raise start_alone(latent[METHOD])


def start_alone(method: str) -> ConfigError:
    """What is said of a start without the trajectory of its inversion, before anything runs or when the node does."""
    return ConfigError(
        got=f"a latent inverted by {method}, without the trajectory of that inversion",
        expected=f"both: sampling takes the steps of {method} backwards, which the trajectory says",
        mend="Connect the trajectory of the same DDIM Invert, or choose another method there.",
    )


def no_noise(got: str) -> ConfigError:
    """What is said of a start without noise, before anything runs or when the node does."""
    return ConfigError(
        got=f"{got}, which holds no noise",
        expected="noise to begin from: unlike KSampler, Sample Edit adds none of its own",
        mend="Connect the latent of DDIM Invert or of Animation Start, with VAE Encode in front of that node.",
    )


def begun_from(latent: dict[str, Any], *, num_steps: int, steps: int) -> dict[str, Any]:
    """A LATENT marked as noised for the last `steps` of `num_steps` sampling steps."""
    return {**latent, STEPS: (num_steps, steps)}


def steps_left(latent: dict[str, Any], num_steps: int, trajectory: Trajectory | None) -> int | None:
    """How many steps are left for a LATENT of Animation Start; None for any other LATENT.

    Raises:
        ConfigError: it was noised for another number of steps, or comes with a trajectory.
    """
    if STEPS not in latent:
        return None
    planned, steps = latent[STEPS]
    if trajectory is not None:
        raise ConfigError(
            got="a latent of Animation Start with a trajectory",
            expected="one start: the noised animation, or an inversion",
            mend="Disconnect the trajectory, or connect the latent of DDIM Invert.",
        )
    check_planned_steps(num_steps, planned)
    return int(steps)


def check_planned_steps(num_steps: int, planned: int) -> None:
    """Raises `ConfigError` unless an animation was noised for so many sampling steps."""
    if planned != num_steps:
        raise ConfigError(
            got=f"{num_steps} sampling steps for an animation that was noised for {planned}",
            expected="the same number in Animation Start and Sample Edit",
            mend=f"Use {planned} steps in both.",
        )


def to_context(conditioning: list, socket: str, told: Told | None = None) -> Conditioning:
    """The text of a CONDITIONING.

    Args:
        told: what the MODEL is told besides the text; None for text alone, as 1.x and 2.x take it.

    Raises:
        ConfigError: there is no prompt or more than one, a ControlNet on it, or not what the MODEL is told.
    """
    if len(conditioning) != 1:
        raise ConfigError(
            got=f"{len(conditioning)} prompts at {socket}",
            expected="one prompt",
            mend="Connect one CLIP Text Encode, without Conditioning (Combine), which makes several prompts.",
        )
    embeddings, extras = conditioning[0]
    check_text(embeddings, None, socket)
    if extras.get("control") is not None:
        raise ConfigError(
            got=f"a ControlNet at {socket}",
            expected="the text alone",
            mend="Connect the text from in front of Apply ControlNet; use the ControlNet where the clip is sampled.",
        )
    context = first_context(conditioning)
    return context if told is None or not told.pooled else told.add(context, extras, socket)


def first_context(conditioning: list) -> Conditioning:
    """The text alone of the first prompt of a CONDITIONING, of its first frame if it has one for each."""
    return as_conditioning(conditioning[0][0])[:1]


def text_width(model: ModelPatcher) -> int | None:
    """The width of the text that a MODEL attends to, if it says."""
    return model.model.model_config.unet_config.get("context_dim")


def check_context(context: Conditioning, width: int | None, socket: str, *, pooled: int | None = None) -> None:
    """Checks that a conditioning fits a model that attends to text of `width` channels.

    Args:
        pooled: the width of the pooled text that the model takes; None if it takes none.

    Raises:
        ConfigError: it is of another family.
    """
    check_text(context.text, width, socket, pooled=pooled)
    if pooled:
        check_pooled(context.pooled_text, pooled, socket)


def check_text(embeddings: Tensor, width: int | None, socket: str, *, pooled: int | None = None) -> None:
    """Checks that text embeddings are `b m d` and fit a model that attends to text of `width` channels.

    Args:
        width: None if the model does not say; then any width passes.
        pooled: the width of the pooled text that the model takes besides, for the message.

    Raises:
        ConfigError: they have another rank, or are of another family.
    """
    if embeddings.ndim != 3 or width not in (None, embeddings.shape[-1]):
        expected = "three axes, b m d" if width is None else f"text of width {width}, which this MODEL attends to"
        besides = f", and a pooled text of width {pooled}" if pooled else ""
        raise ConfigError(
            got=f"text of width {embeddings.shape[-1]} at {socket}, shape {tuple(embeddings.shape)}",
            expected=expected + besides,
            mend="Use the CLIP of the same checkpoint as the MODEL.",
        )
