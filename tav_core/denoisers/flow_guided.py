"""Flow-guided attention (FLATTEN, arXiv 2310.05922): tokens on the same path through the clip agree with each other.

Behind the self-attention of the frames, each token attends to the tokens that show the same spot of the scene in other
frames. Where these are is measured in the source clip, see `metrics.token_paths`. There are no new weights.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import ConfigError, LatentsError
from ..models.along_paths import AlongPaths, PathGroups, group_paths
from ..models.conditioning import Conditioning, as_conditioning
from ..models.schedule import NoiseSchedule
from .config import FlowConfig
from .denoiser import UNetDenoiser
from .windows import check_fits

if TYPE_CHECKING:
    from ..models.unet import InflatedUNet


@dataclass(kw_only=True)
class FlowGuidedDenoiser:
    """A denoiser whose tokens attend along the paths that they take through the source clip.

    Context windows and injection belong around it. The given denoiser is not changed: a copy of its UNet shares the
    weights.

    Args:
        denoiser: the tuned model, with or without controls.
        paths: the numbers of the tokens' paths, int64 `f h w` for each level of the UNet, as
            `metrics.token_paths.token_paths` gives them for the source's frames.
        config: see `FlowConfig`.

    Raises:
        ConfigError: the denoiser is no `UNetDenoiser`.
    """

    denoiser: UNetDenoiser
    paths: Sequence[Tensor]
    config: FlowConfig = field(default_factory=FlowConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.denoiser, UNetDenoiser):
            raise ConfigError(
                got=f"flow guidance around {type(self.denoiser).__name__}",
                expected="a UNetDenoiser, with context windows and injection around the flow guidance",
                mend="Guide the UNetDenoiser first, and wrap the result.",
            )
        self.along = AlongPaths(match=self.config.match)
        unet = attend_along_paths(self.denoiser.unet, self.along)
        self.guided = dataclasses.replace(self.denoiser, unet=unet)
        self.groups = self.group()

    def group(self) -> dict[int, PathGroups]:
        """The paths of the levels that are guided, by the number of tokens of a frame."""
        unet = self.denoiser.unet
        finest = first_with_attention(unet.config.down_block_types)
        return group_levels(self.paths, self.config, finest=finest, device=unet.device)

    @property
    def schedule(self) -> NoiseSchedule:
        return self.denoiser.schedule

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning | Tensor) -> Tensor:
        """The noise in latents `b c f h w`, as a `Denoiser` gives it.

        Raises:
            LatentsError: the latents have another number of frames or another size than the source's.
        """
        if not self.config.guides(timestep, self.schedule.num_train_timesteps):
            return self.denoiser.epsilon(latents, timestep, context)
        check_paths_fit(latents.shape[2:], self.paths[0].shape)
        self.along.groups = self.groups
        try:
            return self.guided.epsilon(latents, timestep, as_conditioning(context))
        finally:
            self.along.groups = {}

    def check_fits(self, shape: Sequence[int]) -> None:
        """Raises `LatentsError` unless paths and controls have the frames and the size of latents `b c f h w`."""
        check_paths_fit(shape[2:], self.paths[0].shape)
        check_fits(self.denoiser, shape)

    def pick_frames(self, frames: Sequence[int]) -> FlowGuidedDenoiser:
        """The same denoiser for some of the clip's frames; paths stay paths where frames between are missing."""
        own = copy.copy(self)
        chosen = torch.as_tensor(list(frames))
        own.paths = tuple(level[chosen] for level in self.paths)
        own.denoiser, own.guided = self.denoiser.pick_frames(frames), self.guided.pick_frames(frames)
        own.groups = own.group()
        return own


def attend_along_paths(unet: InflatedUNet, along: AlongPaths) -> InflatedUNet:
    """A copy of a UNet with the same weights, whose self-attentions go on along paths."""
    from ..models.attention import SelfAttention
    from ..models.shared_weights import copy_structure

    guided = copy_structure(unet)
    for block in guided.blocks().values():
        if isinstance(block.attn1.processor, SelfAttention):
            block.attn1.set_processor(dataclasses.replace(block.attn1.processor, along=along))
    return guided


def group_levels(
    paths: Sequence[Tensor], config: FlowConfig, *, finest: int, device: torch.device
) -> dict[int, PathGroups]:
    """The paths of the levels that are guided, by the number of tokens of a frame.

    Args:
        paths: of each level, `f h w`.
        finest: the first level that has attention.
    """
    return {level[0].numel(): group_paths(level).to(device) for level in paths[finest : finest + config.levels]}


def first_with_attention(down_block_types: Sequence[str]) -> int:
    """The finest level of a UNet that has self-attention: 0 in Stable Diffusion 1.x and 2.x, 1 in XL."""
    return next(i for i, name in enumerate(down_block_types) if "CrossAttn" in name)


def check_paths_fit(ours: Sequence[int], theirs: Sequence[int]) -> None:
    """Checks that latents have the frames and the size of the source whose flow guides them.

    Args:
        ours, theirs: frames, height and width in latents.

    Raises:
        LatentsError: they differ.
    """
    if tuple(ours) != tuple(theirs):
        raise LatentsError(
            got="{} frames of {}x{} latents for flow guidance".format(ours[0], *reversed(ours[1:])),
            expected="the source's {} of {}x{}".format(theirs[0], *reversed(theirs[1:])),
            mend="Measure the flow in the clip that is edited, in the same frames and at the same size.",
        )
