"""Interpolation with LaVie: three new frames between each two, so that k frames become 4k - 3.

The model sees, beside each noisy frame, a key frame: frame j of the result is given key (j + 1) // 4. So key k is given
to frames 4k - 1 to 4k + 2, and stands at frame 4k, which is drawn anew like all others.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoisers.denoiser import Denoiser
from ..denoisers.guidance import guided
from ..denoisers.windows import WindowedDenoiser
from ..errors import LatentsError, explain_out_of_memory
from ..layouts import check_values
from ..models.conditioning import Conditioning, as_conditioning
from ..models.schedule import draw_noise
from .lavie_config import InterpolateConfig
from .noise_steps import OnLatents, even_steps, walk_steps

FACTOR = 4


def interpolated_length(num_keys: int) -> int:
    """How many frames k frames become: 4k - 3."""
    return FACTOR * (num_keys - 1) + 1


def key_of_each(num_keys: int) -> list[int]:
    """The number of the key frame that each of the 4k - 3 frames is given."""
    return [min((frame + 1) // FACTOR, num_keys - 1) for frame in range(interpolated_length(num_keys))]


def repeat_keys(keys: Tensor) -> Tensor:
    """The key frame that each frame of the result is given: `b c k h w` to `b c 4k-3 h w`."""
    return keys[:, :, key_of_each(keys.shape[2])]


@dataclass(frozen=True, kw_only=True)
class KeyWindows:
    """Windows that begin and end at a key frame.

    Args:
        keys: key frames of a window.
        overlap: key frames that two neighbouring windows share.
    """

    keys: int
    overlap: int

    def at(self, num_frames: int, timestep: float) -> list[range]:
        """The windows of every step, in frames of the result; the last one is moved to end with the clip."""
        last = (num_frames - 1) // FACTOR + 1 - self.keys
        if last <= 0:
            return [range(num_frames)]
        stride = self.keys - self.overlap
        starts = dict.fromkeys(min(start, last) for start in range(0, last + stride, stride))
        return [range(FACTOR * start, FACTOR * start + interpolated_length(self.keys)) for start in starts]


@torch.no_grad()
def interpolate(
    denoiser: Denoiser,
    keys: Tensor,
    context: Conditioning | Tensor,
    negative_context: Conditioning | Tensor,
    *,
    config: InterpolateConfig | None = None,
    noise: Tensor | None = None,
    on_step: OnLatents | None = None,
) -> Tensor:
    """Draws a clip anew with three more frames between each two.

    Args:
        denoiser: of LaVie's interpolation (`load_lavie`).
        keys: the clip's latents, as `encode_frames` gives them, `1 c k h w`.
        context: the prompt, what the clip shows, `1 m d`.
        negative_context: the negative prompt likewise.
        config: see `InterpolateConfig`; the prompts are already encoded here.
        noise: the start, `1 c 4k-3 h w`, standard normal; drawn from the seed if None.
        on_step: called after each step with (steps done, total steps, latents).

    Returns:
        Latents `1 c 4k-3 h w`, float32; windows are fused at each step where there are more frames than one holds.

    Raises:
        LatentsError: the keys are not the latents of one clip of two frames or more.
        OutOfMemory: the message says what to lower.
    """
    config = config or InterpolateConfig()
    check_values(keys)
    if keys.shape[0] != 1 or keys.shape[2] < 2:
        raise LatentsError(
            got=f"key frames of shape {tuple(keys.shape)}",
            expected="one clip of two frames or more, 1 c k h w",
            mend="Interpolate one clip at a time; there is nothing between a frame and itself.",
        )
    context, negative_context = as_conditioning(context), as_conditioning(negative_context)
    device = context.text.device
    channels = repeat_keys(keys).to(device)
    positive, negative = (dataclasses.replace(each, channels=channels) for each in (context, negative_context))
    positive.check(values=True)
    negative.check(values=True)
    if noise is None:
        noise = draw_noise(channels.shape, torch.Generator("cpu").manual_seed(config.seed))
    windows = KeyWindows(keys=config.window, overlap=config.window_overlap)
    windowed = WindowedDenoiser(denoiser=denoiser, windows=windows, anchored=False)
    model = guided(windowed, positive, negative, config.guidance_scale)
    steps = even_steps(denoiser.schedule, config.num_steps, whole=True)
    mend = "Use fewer frames per window, or a smaller size."
    with explain_out_of_memory(f"interpolating to {channels.shape[2]} frames", mend):
        return walk_steps(model, noise.to(device), steps, on_step=on_step)
