"""Presets by goal: settings for another subject, another background, another style; for the first edit soon; and the
original's to the letter.

The settings were measured on the demo world (`demo/tuning_steps.py`, `demo/ablation.py`), except for the number of
tuning steps, which a tiny model cannot tell for Stable Diffusion. There, users of the original got good edits with 200
steps where the paper's 500 gave a copy of the source.

`fast` has the original's numbers of steps in the proportions that were enough on the demo world, an eighth and half of
them (docs/time-to-edit.md): 25 : 10 where the original's recipe has 200 : 20.
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
        sampling_steps: of the inversion and of each edit.
        min_snr_gamma: weighs the loss of the tuning, see `TuneConfig`.
        guidance_scale: guidance of the edit.
        injection: settings of injecting the source; None for no injection.
        group_norm: what the group norms of the tuned model take their statistics over.
        advice: what else helps, in one sentence.
    """

    num_steps: int
    sampling_steps: int = EditConfig().num_steps
    min_snr_gamma: float = 0.0
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
        weights = {"min_snr_gamma": self.min_snr_gamma} if self.min_snr_gamma else {}
        return {"num_steps": self.num_steps, "group_norm": self.group_norm, **weights}

    def inverting(self) -> dict[str, Any]:
        """The options of the command `invert` that it sets; `edit` takes its number of steps from the inversion."""
        return {"num_steps": self.sampling_steps}

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
        num_steps=200,
        advice=(
            "Use a mask of everything but the subject, so that the subject stays unchanged; with a ControlNet that "
            "acts on the subject alone, set resample to 2 to make the place anew."
        ),
    ),
    "style": Preset(
        num_steps=200,
        injection=InjectionConfig(attention=0.3, features=0.0),
        advice="Raise features to keep more of the outlines; lower attention and features for a bolder style.",
    ),
    "fast": Preset(
        num_steps=60,
        sampling_steps=25,
        min_snr_gamma=5.0,
        advice=(
            "Set 25 steps in the inversion and in the edit, and min_snr_gamma 5 in the tuning; if the edit loses the "
            "clip, tune for 200 steps."
        ),
    ),
    "original": Preset(
        num_steps=500,
        group_norm="clip",
        advice="These are the paper's settings to the letter; in ComfyUI, choose group norm clip in Tune Options too.",
    ),
}
