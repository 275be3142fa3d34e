"""Flow-guided attention on a core MODEL: its self-attentions go on along the paths of a clip's tokens.

A wrapper around the model tells the attentions which paths the running batch has; it knows the frames of a context
window, and an injected source has the same paths as the edit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ...tav_core.denoisers.flow_guided import check_paths_fit, first_with_attention, group_levels
from ...tav_core.errors import ConfigError, MotionError
from ...tav_core.models.along_paths import AlongPaths, PathGroups
from ...tav_core.models.inflation import TemporalLayer, recast
from .frame_attention import FrameAttention
from .inflation import frames_in, options_in
from .motion import check_carries_motion, is_lavie
from .unet import read_config, read_schedule
from .windows import WINDOW

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...tav_core.denoisers.config import FlowConfig

KEY = "tune_a_video_flow"


@dataclass(kw_only=True)
class Guide:
    """The paths of a clip's tokens, and the attentions that follow them.

    Args:
        paths: of each level of the UNet, `f h w`, see `tav_core.metrics.token_paths`.
        finest: the first level that has attention.
        num_train_timesteps: of the model's schedule.
    """

    paths: Sequence[Tensor]
    config: FlowConfig
    along: AlongPaths
    finest: int
    num_train_timesteps: int

    def groups(self, window: tuple[int, ...] | None, like: Tensor) -> dict[int, PathGroups]:
        """The paths of the guided levels for a window of frames, or for all of them, on a tensor's device."""
        picked = self.paths if window is None else [level[list(window)] for level in self.paths]
        return group_levels(picked, self.config, finest=self.finest, device=like.device)


def add_flow_guidance(model: ModelPatcher, paths: Sequence[Tensor], config: FlowConfig) -> ModelPatcher:
    """A clone of a MODEL whose tokens attend along their paths through a clip.

    Args:
        paths: as `tav_core.metrics.token_paths` gives them for the clip's frames.

    Raises:
        MotionError: there is no motion on the MODEL, so its batches are not videos.
        ConfigError: the MODEL is guided by a flow already.
    """
    check_guidable(model)
    along = AlongPaths(match=config.match)
    guide = Guide(
        paths=paths,
        config=config,
        along=along,
        finest=first_with_attention(read_config(model)["down_block_types"]),
        num_train_timesteps=read_schedule(model).num_train_timesteps,
    )
    patched = model.clone()
    for path, block in list(patched.object_patches.items()):
        if isinstance(block, TemporalLayer):
            patched.add_object_patch(path, going_along(block, along))
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, partial(run_guided, guide))
    return patched


def check_guidable(model: ModelPatcher) -> None:
    """Checks that a MODEL has a motion, and no flow that guides it yet.

    Raises:
        MotionError, ConfigError: see `add_flow_guidance`.
    """
    check_carries_motion(model)
    if is_lavie(model):
        raise MotionError(
            got="a MODEL of Load LaVie, which makes videos without a clip",
            expected="the MODEL of Apply Motion, which edits the clip that the flow is measured in",
            mend="Leave Flow Guidance out.",
        )
    attentions = (getattr(patch, "attn1", None) for patch in model.object_patches.values())
    if any(isinstance(attn1, FrameAttention) and attn1.along is not None for attn1 in attentions):
        raise ConfigError(
            got="a MODEL that a flow guides already",
            expected="at most one flow",
            mend="Connect the MODEL from in front of the other Flow Guidance.",
        )


def going_along(block: nn.Module, along: AlongPaths) -> nn.Module:
    """A copy of a block whose first attention goes on along paths. Another clone has the block too: it stays."""
    own = recast(block, type(block))
    own._modules["attn1"] = recast(block.attn1, type(block.attn1), along=along)
    return own


def run_guided(
    guide: Guide, executor: Callable[..., Tensor], x: Tensor, t: Tensor, *args: Any, **kwargs: Any
) -> Tensor:
    """Wraps ComfyUI's `apply_model`: the attentions know the paths of the frames in this batch while it runs.

    Args:
        x, t: noisy latents `(n f) c h w` and sigma, one value per row.

    Raises:
        LatentsError: the batch has another number of frames or another size than the clip.
    """
    timestep = float(executor.class_obj.model_sampling.timestep(t[:1]))
    if not guide.config.guides(timestep, guide.num_train_timesteps):
        return executor(x, t, *args, **kwargs)
    options = options_in(args, kwargs)
    window = options.get(WINDOW)
    known = guide.paths[0].shape
    check_paths_fit((frames_in(x, options), *x.shape[-2:]), (len(window) if window else known[0], *known[1:]))
    guide.along.groups = guide.groups(window, x)
    try:
        return executor(x, t, *args, **kwargs)
    finally:
        guide.along.groups = {}
