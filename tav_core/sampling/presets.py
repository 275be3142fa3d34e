"""Presets by goal: what to set for another subject, another background, another style.

What they set was measured on the demo world (`demo/tuning_steps.py`, `demo/ablation.py`), except for the number of
tuning steps: a tiny model's say nothing of Stable Diffusion's. There, users of the original found 200 to keep edits
that 500, the paper's, had lost to a copy of the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .config import EditConfig, InjectionConfig


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings for one goal.

    Args:
        num_steps: of tuning.
        guidance_scale: of the edit.
        injection: of the source, or None for none.
        advice: what else helps, in a sentence.
    """

    num_steps: int
    guidance_scale: float = EditConfig().guidance_scale
    injection: InjectionConfig | None = None
    advice: str

    @property
    def shares(self) -> tuple[float, float]:
        """Of the steps that look where the source looks, and that take its features."""
        return (self.injection.attention, self.injection.features) if self.injection else (0.0, 0.0)

    def tuning(self) -> dict[str, Any]:
        """What it sets of the command `tune`."""
        return {"num_steps": self.num_steps}

    def editing(self) -> dict[str, Any]:
        """What it sets of the command `edit`."""
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
}
