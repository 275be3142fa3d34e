"""ComfyUI's attention, made to look across frames: its weights stay, and other nodes' patches act on it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import comfy.ldm.modules.attention as core_attention
from torch import Tensor

from ...tav_core.errors import ConfigError
from ...tav_core.models.along_paths import AlongPaths
from ...tav_core.models.attention import attend_frames
from ...tav_core.models.inflation import FrameCount
from ...tav_core.models.positions import rotate_frames
from ...tav_core.sampling.injection import FirstForAll
from .attention import find_attention


class FrameAttention(core_attention.CrossAttention):
    """ComfyUI's attention with keys and values from the frames that a mode names, projected once per frame."""

    frames: FrameCount
    modes: Mapping[str, Any]
    # A second attention, along the flow of a clip; see flow.py.
    along: AlongPaths | None = None

    def forward(self, x: Tensor, context=None, value=None, mask=None, transformer_options=None) -> Tensor:
        assert mask is None, "self-attention sees every token of its frames"
        context = x if context is None else context
        self.check_patched(x, context)
        query, key, value = self.to_q(x), self.to_k(context), self.to_v(context if value is None else value)
        plain = partial(
            find_attention(query),
            heads=self.heads,
            attn_precision=self.attn_precision,
            transformer_options=transformer_options or {},
        )
        mode, k = self.modes["attention"], self.modes["attention_k"]
        output = attend_frames(query, key, value, mode=mode, num_frames=self.frames.value, k=k, attend=plain)
        if self.along is not None:
            output = self.along(query, key, output, plain)
        return self.to_out(output)

    def check_patched(self, x: Tensor, context: Tensor) -> None:
        """Checks what another node's patch has made of the tokens that ask, `(b f) n d`.

        There may be fewer of them than of those asked, as with core's ToMe. HyperTile's rows are tiles of frames: taken
        for frames, they would be mixed up without any error.

        Raises:
            ConfigError: the rows are not the frames, or tokens are missing that a source or a flow needs.
        """
        in_place = self.along is not None or isinstance(self.to_q, FirstForAll)
        if len(x) != len(context) and (in_place or self.modes["attention"] != "spatial"):
            raise ConfigError(
                got=f"{len(x)} pieces of {len(context)} frames, as HyperTile cuts them",
                expected="whole frames, which attend to each other",
                mend="Take HyperTile out. TomePatchModel saves work too, and fits.",
            )
        if x.shape[1] != context.shape[1] and in_place:
            name = "Inject Source" if self.along is None else "Flow Guidance"
            raise ConfigError(
                got=f"{x.shape[1]} of {context.shape[1]} tokens, as TomePatchModel merges them, with {name}",
                expected="every token of a frame in its place",
                mend=f"Take TomePatchModel or {name} out.",
            )


class RotaryAttention(core_attention.CrossAttention):
    """ComfyUI's attention on tokens that are frames, aware of how far apart they are: `b f d` in and out."""

    def forward(self, x: Tensor, context=None, value=None, mask=None, transformer_options=None) -> Tensor:
        assert context is None and value is None and mask is None, "a temporal attention sees all frames"
        output = find_attention(x)(
            rotate_frames(self.to_q(x), heads=self.heads),
            rotate_frames(self.to_k(x), heads=self.heads),
            self.to_v(x),
            heads=self.heads,
            attn_precision=self.attn_precision,
            transformer_options=transformer_options or {},
        )
        return self.to_out(output)
