"""Presets by goal: settings for another subject, another background, another style; and the original's to the letter.

The settings were measured on the demo world (`demo/tuning_steps.py`, `demo/ablation.py`), except for the number of
tuning steps, which a tiny model cannot tell for Stable Diffusion. There, users of the original got good edits with 200
steps where the paper's 500 gave a copy of the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .config import EditConfig, InjectionConfig


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings for one goal.

    Args:
        num_steps: tuning steps.
        guidance_scale: guidance of the edit.
        injection: settings of injecting the source; None for no injection.
        group_norm: what the group norms of the tuned model take their statistics over.
        advice: what else helps, in one sentence.
    """

    num_steps: int
    guidance_scale: float = EditConfig().guidance_scale
    injection: InjectionConfig | None = None
    group_norm: str = "frame"
    advice: str

    @property
    def shares(self) -> tuple[float, float]:
        """The shares of steps that take the source's attention, and its features."""
        return (self.injection.attention, self.injection.features) if self.injection else (0.0, 0.0)

    def tuning(self) -> dict[str, Any]:
        """The options of the command `tune` that it sets."""
        return {"num_steps": self.num_steps, "group_norm": self.group_norm}

    def editing(self) -> dict[str, Any]:
        """The options of the command `edit` that it sets."""
        attention, features = self.shares
        injection = {"inject": True, "inject_attention": attention, "inject_features": features}
        return {"guidance_scale": self.guidance_scale, **(injection if self.injection else {})}


PRESETS = {
    "subject": Preset(
        num_steps=200, advice="Use a generous mask of the subject, so that the background stays unchanged."
    ),
    "background": Preset(
        num_steps=200, advice="Use a mask of everything but the subject, so that the subject stays unchanged."
    ),
    "style": Preset(
        num_steps=200,
        injection=InjectionConfig(attention=0.3, features=0.0),
        advice="Raise features to keep more of the outlines; lower attention and features for a bolder style.",
    ),
    "original": Preset(
        num_steps=500,
        group_norm="clip",
        advice="These are the paper's settings to the letter; in ComfyUI, choose group norm clip in Tune Options too.",
    ),
}
