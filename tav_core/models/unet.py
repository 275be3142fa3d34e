"""Inflation: turns an ordinary 2-D diffusers UNet into a video UNet, without copying its code or its weights.

What changes (Tune-A-Video, arXiv 2212.11565, section 4.2, and its code):
    convolutions     none: they run on every frame, folded into the batch
    attn1            attends to the frames that the attention mode gives
    attn2            all frames of a video share one text
    in each block    a temporal attention over the frames at each pixel, `norm_temp` and `attn_temp`, if asked for:
                     at its end, or before its feed-forward as in LaVie (arXiv 2309.15103)
    group norms      those of the ResNets and the output take their statistics over all frames of a clip

The parameter names are the published ones, as in the original's files and in the 2-D UNet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from ..errors import ConfigError
from ..layouts import fold, unfold
from .attention import SelfAttention, TemporalAttention, TextAttention
from .blocks import InflatedBlock, inflate_block
from .conditioning import Conditioning, as_conditioning
from .inflation import CheckpointFrames, ClipGroupNorm, FrameCount, recast
from .parameter_names import check_same_shapes, is_temporal
from .precision import usual_defaults
from .saved_unet import INFLATION, MODES, PLACE, TEMPORAL, SavedUNet
from .shared_weights import copy_structure, replace_modules
from .unet_inputs import added_arguments, count_images, fill_size_ids, join_channels, text_per_frame
from .unet_options import check_options, choose_temporal


class InflatedUNet(SavedUNet):
    """A 2-D UNet that denoises videos. Made by `from_2d`, or read by `from_pretrained`.

    Of what diffusers and PyTorch do to a UNet, these do to it the same: `save_pretrained` and `from_pretrained`, `to`
    (device, dtype, channels-last), FreeU, gradient checkpointing, PEFT adapters, `torch.compile`, deepcopy and pickle.
    What would replace its attention processors, and with them the view of other frames, is refused: attention slicing
    and fused projections. diffusers' switch for xformers sets the backend of its own processors.
    """

    frames: FrameCount

    @classmethod
    def from_2d(
        cls,
        unet: UNet2DConditionModel,
        *,
        attention: str = "sparse_causal",
        attention_k: int = 2,
        group_norm: str = "frame",
        backend: str = "sdpa",
        positions: str = "none",
        temporal: bool | str = "auto",
        place: str = "end",
        seed: int = 33,
    ) -> InflatedUNet:
        """Inflates a 2-D UNet. The given one is not changed; the weights are shared with it, not copied.

        As long as the temporal blocks are not tuned (their output projections start at zero), a single frame gives
        exactly the result of the 2-D UNet.

        Args:
            unet: a Stable Diffusion UNet.
            attention: which frames attn1 attends to, one of `attention_modes.MODES`.
            attention_k: how far back "sparse_causal_k" also attends, in frames.
            group_norm: statistics per "frame", as in the 2-D UNet, or over the "clip" as in the original.
            backend: "sdpa", or "xformers" if it is installed.
            positions: position encoding of frames in the temporal attention: "none" as in the original, "rotary",
                LaVie's rotary alone as "lavie_rotary", or LaVie's with a learned bias per distance as "lavie".
            temporal: which transformer blocks have temporal attention, one of `TEMPORAL_BLOCKS`; "auto" is the
                family's: the last of each Transformer2D in Stable Diffusion XL, all in others, whose transformers have
                one block. True is "all". With False, the UNet takes less time and memory, and cannot be tuned: for what
                needs no tuning (sampling/zero_shot).
            place: where in a block the temporal attention stands: at its "end", or "before_feed_forward".
            seed: for the temporal blocks' query, key and value projections; the original's seed by default.

        Raises:
            ConfigError: a mode, norm, backend or positions is unknown, or the UNet is inflated already.
        """
        if isinstance(unet, InflatedUNet):
            raise ConfigError(got="an inflated UNet", expected="a 2-D UNet", mend="Change its modes with `set_modes`.")
        check_options(attention, attention_k, group_norm, backend, positions, place)
        inflated = recast(copy_structure(unet), cls)
        chosen = choose_temporal(inflated, temporal)
        inflated.frames = FrameCount()
        with torch.random.fork_rng(devices=[]), usual_defaults():
            # torch.manual_seed would also seed the generators of graphics cards, which are not restored.
            torch.default_generator.manual_seed(seed)
            replace_modules(
                inflated,
                BasicTransformerBlock,
                lambda block: inflate_block(
                    block, inflated.frames, temporal=id(block) in chosen, place=place, positions=positions
                ),
            )
        all_blocks = len(chosen) == len(inflated.blocks())
        inflated.register_to_config(**{INFLATION: {TEMPORAL: all_blocks or (bool(chosen) and "last"), PLACE: place}})
        inflated.set_modes(
            attention=attention, attention_k=attention_k, group_norm=group_norm, backend=backend, positions=positions
        )
        return inflated

    def set_modes(
        self,
        *,
        attention: str,
        group_norm: str,
        attention_k: int = 2,
        backend: str = "sdpa",
        positions: str = "none",
    ) -> None:
        """Sets in place which frames are attended to, whether their order counts, and what the group norms span.

        Raises:
            ConfigError: an option is unknown, or the positions need a table that this UNet was inflated without.
        """
        check_options(attention, attention_k, group_norm, backend, positions)
        self.check_table(positions)
        modes = (attention, attention_k, group_norm, backend, positions)
        kept = {name: value for name, value in self.config[INFLATION].items() if name not in MODES}
        self.register_to_config(**{INFLATION: {**dict(zip(MODES, modes, strict=True)), **kept}})
        for block in self.blocks().values():
            # The upscaler's outer levels have cross-attention to the text in both places.
            own = SelfAttention(frames=self.frames, mode=attention, k=attention_k, backend=backend)
            text = TextAttention(frames=self.frames, backend=backend)
            block.attn1.set_processor(text if block.only_cross_attention else own)
            block.attn2.set_processor(TextAttention(frames=self.frames, backend=backend))
            if block.attn_temp is not None:
                block.attn_temp.set_processor(TemporalAttention(backend=backend, positions=positions))
        norm = nn.GroupNorm if group_norm == "frame" else ClipGroupNorm
        for owner, name in self.clip_norms():
            setattr(owner, name, recast(getattr(owner, name), norm, frames=self.frames))

    def forward(
        self, latents: Tensor, timestep: Tensor | float, context: Conditioning | Tensor, **kwargs: Any
    ) -> Tensor:
        """Predicts the noise (or velocity) in a batch of videos.

        Args:
            latents: `b c f h w`; h and w of any size. Still pictures, if there are any, follow the video's frames.
            timestep: one for all videos, or one per video: a number or a tensor of shape () or (b,).
            context: the conditioning of the videos, or text embeddings `b m d` alone. Where SDXL's has no size ids,
                they are this UNet's `size_ids`, or else the size of the latents.
            kwargs: further arguments of `UNet2DConditionModel.forward`; ControlNet residuals are `(b f) c h w`.

        Returns:
            The prediction, `b c f h w`.

        Raises:
            LatentsError: the latents have another rank or number of channels.
            ConfigError: the conditioning has a part that this UNet does not take, or lacks one that it needs; or there
                are still pictures, and frames attend to others than themselves.
        """
        context = fill_size_ids(as_conditioning(context), latents, self.size_ids)
        latents = join_channels(latents, context, in_channels=self.config.in_channels)
        num_frames = self.frames.value = latents.shape[2]
        self.frames.sides = (latents.shape[3], latents.shape[4])
        self.frames.images = count_images(context, num_frames, attention=self.modes["attention"])
        # Schedulers have fractional ones, and a plain number would take whatever dtype is the default.
        dtype = torch.float32 if isinstance(timestep, float) else None
        timestep = torch.as_tensor(timestep, dtype=dtype, device=latents.device)
        if timestep.ndim:
            timestep = timestep.expand(latents.shape[0]).repeat_interleave(num_frames)
        added = added_arguments(context, self.config, num_frames=num_frames)
        kwargs["return_dict"] = False
        (folded,) = super().forward(fold(latents), timestep, text_per_frame(context, num_frames), **added, **kwargs)
        return unfold(folded, num_frames)

    def enable_gradient_checkpointing(self, gradient_checkpointing_func: Callable[..., Any] | None = None) -> None:
        """Recomputes activations in the backward pass; non-reentrant, so that frozen inputs do not block gradients."""

        super().enable_gradient_checkpointing(gradient_checkpointing_func or CheckpointFrames(frames=self.frames))

    def set_attention_slice(self, slice_size: str | int | list[int] | None = "auto") -> None:
        """Refuses: sliced attention sees one frame alone. None, diffusers' way to turn slicing off, is taken."""
        if slice_size is not None:
            raise ConfigError(
                got=f"attention slices ({slice_size!r}) for a video UNet",
                expected="its own attention, which sees other frames and never holds all scores at once",
                mend="Do without slices; where memory runs out, use fewer frames, a window of them, or smaller ones.",
            )

    def fuse_qkv_projections(self) -> None:
        """Refuses: a fused copy of the projections would not follow the tuned queries."""
        raise ConfigError(
            got="a video UNet whose projections are to be fused",
            expected="query, key and value projections apart, as tuning and motion files name them",
            mend="Do without; to go faster, use torch.compile.",
        )

    def set_use_memory_efficient_attention_xformers(self, valid: bool, attention_op: object | None = None) -> None:
        """Sets the backend; called by diffusers' enable_ and disable_xformers_memory_efficient_attention.

        Raises:
            ConfigError: xformers is not installed, or an operator of it is asked for.
        """
        if attention_op is not None:
            raise ConfigError(
                got="an xformers operator", expected="the one that xformers chooses", mend="Leave attention_op out."
            )
        self.set_modes(**{**self.modes, "backend": "xformers" if valid else "sdpa"})

    def check_table(self, positions: str) -> None:
        """Raises `ConfigError` if positions need a bias per distance, for which this UNet has no table."""
        layers = [block.attn_temp for block in self.blocks().values() if block.attn_temp is not None]
        if positions == "lavie" and not all(hasattr(layer, "time_rel_pos_bias") for layer in layers):
            raise ConfigError(
                got="positions 'lavie' for a UNet without a bias per distance",
                expected="a UNet that was inflated with them",
                mend="Give positions='lavie' to from_2d, or use 'lavie_rotary', which needs no table.",
            )

    def blocks(self) -> dict[str, InflatedBlock]:
        """The transformer blocks by their path, in the order of the UNet's modules."""
        return {name: module for name, module in self.named_modules() if isinstance(module, InflatedBlock)}

    def clip_norms(self) -> list[tuple[nn.Module, str]]:
        """Owner and attribute name of each group norm that may span a clip; the transformers' own never do."""
        norms = [(m, name) for m in self.modules() if isinstance(m, ResnetBlock2D) for name in ("norm1", "norm2")]
        return [*norms, (self, "conv_norm_out")]

    def temporal_state(self) -> dict[str, Tensor]:
        """The weights that inflation added, under their published names; live tensors, not copies."""
        return {name: tensor for name, tensor in self.state_dict().items() if is_temporal(name)}

    def load_temporal(self, state_dict: Mapping[str, Tensor]) -> None:
        """Copies the temporal weights of a state dict, under their published names, into this UNet.

        Args:
            state_dict: `...transformer_blocks.N.attn_temp.*` and `norm_temp.*`. It may be that of a whole UNet: other
                weights are ignored.

        Raises:
            MotionError: a temporal weight is missing, has another shape, or belongs to no block of this UNet.
        """
        own = self.temporal_state()
        given = {name: tensor for name, tensor in state_dict.items() if is_temporal(name)}
        check_same_shapes(given, own, what="temporal weights")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(given[name])
