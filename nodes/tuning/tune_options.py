"""Tune Options: the settings of tuning that rarely need changing."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...tav_core.models.attention_modes import GROUP_NORMS, MODES, POSITIONS, TEMPORAL_BLOCKS
from ...tav_core.tuning.config import TuneConfig
from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, TuneOptionsType, schema, widget

# The family's usual.
AUTO = "auto"
GROUPS = {
    "as the paper": ("attn1.to_q", "attn2.to_q", "attn_temp"),
    "temporal only": ("attn_temp",),
    "queries only": ("attn1.to_q", "attn2.to_q"),
    "queries, keys and values": ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn2.to_q", "attn_temp"),
}


class TuneOptions(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        decay = {"min": 0.0, "max": 0.99999, "step": 0.001, "round": False}
        return schema(
            node_id="TAVTuneOptions",
            display_name="Tune Options",
            category=CATEGORY,
            advanced=(
                "max_grad_norm",
                "weight_decay",
                "epsilon",
                "beta1",
                "beta2",
                "attention_k",
                "recompute",
                "appearance_debias",
                "min_snr_gamma",
            ),
            description=(
                "Settings of One-Shot Tune that rarely need changing. The defaults are the paper's, except for "
                "group_norm."
            ),
            search_aliases=["training options", "adamw", "learning rate schedule"],
            inputs=[
                widget(TuneConfig, "lr_schedule"),
                widget(TuneConfig, "warmup_steps"),
                widget(TuneConfig, "max_grad_norm", step=0.1),
                widget(TuneConfig, "weight_decay", step=0.001),
                widget(TuneConfig, "epsilon", step=1e-9),
                io.Float.Input("beta1", default=0.9, tooltip="AdamW's decay rate of the first moment.", **decay),
                io.Float.Input("beta2", default=0.999, tooltip="AdamW's decay rate of the second moment.", **decay),
                io.Combo.Input(
                    "modules",
                    options=list(GROUPS),
                    default="as the paper",
                    tooltip="Which weights of the model are trained.",
                ),
                io.Combo.Input(
                    "attention",
                    options=list(MODES),
                    default="sparse_causal",
                    tooltip=(
                        "Which frames each frame attends to. sparse_causal, the paper's choice, uses the first and "
                        "the previous frame."
                    ),
                ),
                io.Int.Input(
                    "attention_k",
                    default=2,
                    min=1,
                    max=1000,
                    tooltip="How many frames back sparse_causal_k looks, besides the first and the previous frame.",
                ),
                widget(TuneConfig, "recompute"),
                widget(TuneConfig, "window"),
                io.Combo.Input(
                    "positions",
                    options=list(POSITIONS),
                    default="none",
                    optional=True,
                    tooltip=(
                        "What the temporal attention knows about the order of frames: none, as in the paper, or rotary "
                        "positions. The motion file notes the choice."
                    ),
                ),
                io.Combo.Input(
                    "group_norm",
                    options=list(GROUP_NORMS),
                    default="frame",
                    optional=True,
                    tooltip=(
                        "What the model's group norms take their statistics over: each frame, or the whole clip as in "
                        "the paper. The motion file notes the choice."
                    ),
                ),
                io.Combo.Input(
                    "temporal",
                    options=[AUTO, *TEMPORAL_BLOCKS],
                    default=AUTO,
                    optional=True,
                    tooltip=(
                        "Which transformer blocks have temporal attention: all, or the last of each transformer. auto "
                        "is last for Stable Diffusion XL, where all 70 make a file of 840 MB; 1.x and 2.x have one "
                        "block in each, so it makes no difference there."
                    ),
                ),
                widget(TuneConfig, "query_rank", min=-1, optional=True),
                widget(TuneConfig, "appearance_debias", optional=True),
                widget(TuneConfig, "min_snr_gamma", optional=True),
            ],
            outputs=[TuneOptionsType.Output("options", display_name="options", tooltip="For One-Shot Tune.")],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        beta1: float,
        beta2: float,
        modules: str,
        attention: str,
        attention_k: int,
        positions: str = "none",
        group_norm: str = "frame",
        temporal: str = AUTO,
        **settings: Any,
    ) -> io.NodeOutput:
        tuning = {**settings, "betas": (beta1, beta2), "modules": GROUPS[modules]}
        TuneConfig(**{**tuning, "warmup_steps": 0})
        modes = {"attention": attention, "attention_k": attention_k, "positions": positions, "group_norm": group_norm}
        modes["temporal"] = temporal
        return io.NodeOutput({"tuning": tuning, "modes": modes})
