"""The variants that the ablation compares, as data; variant_edits.py renders them.

`PAPER` removes one part of Tune-A-Video at a time. `PIECES` adds or changes one thing; `LESS_LOOKS` takes less of the
clip's looks. `INHERITED` changes one of the settings that come from the original, with group norms per
frame. `BEST` and `COMBINED` combine what helps. `STARTED` tunes for fewer steps, and `FLOW` is guided by flow on top
of that. `CEILING` is an upper bound for all of them. Variants with the same seed and the same tuning share a motion.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tav_core import (
    PRESETS,
    FlowConfig,
    InjectionConfig,
)

from .settings import TUNE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One way through tuning, inversion and editing. The defaults are plain Tune-A-Video.

    Args:
        drawn: draw the edits instead of generating them (the ceiling), see drawn.py.
        tuned: tune; if False, use the inflated model as it is.
        inverted: start from the inverted clip; if False, from random noise.
        tuning, sampling: settings other than the world's.
        tuned_at: side of the frames in tuning, as a share of the clip's; inversion and editing have the clip's size.
        started: begin the tuning with the world's start, see demo/train_start.py, instead of from zero.
        attention, attention_k, positions, group_norm: modes of the inflated model.
        source_prompt: invert under the source's prompt, not under the empty one.
        negative_source: use the source's prompt as the negative prompt.
        method: the inversion's method.
        injection: inject features of the source.
        flow: attend along the optical flow of the source.
        flow_inverted: in the inversion too.
        layout_only: inject them only in edits that leave all shapes as they are.
        masked: edit inside a mask only, see `World.mask_of`.
        led: share of the steps, from the first, in which the world's T2I-Adapter shows where things are.
        led_scale: how strongly it does.
        led_around: lead the subject alone, and leave the place around it free, see `World.subject_of`.
        renewed: share of the start that is drawn anew inside the mask of an edit that adds something.
        local: give parts of the picture prompts of their own, see `World.local_prompts`.
        adding: settings of the sampling of such an edit, other than the variant's.
        by_change: variants of the same tuning that make some edits instead, by what these change, as "subject+place".
    """

    drawn: bool = False
    tuned: bool = True
    inverted: bool = True
    started: bool = False
    tuned_at: float = 1.0
    tuning: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sampling: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    attention: str = "sparse_causal"
    attention_k: int = 2
    positions: str = "none"
    group_norm: str = "clip"
    source_prompt: bool = False
    negative_source: bool = False
    method: str = "ddim"
    injection: InjectionConfig | None = None
    flow: FlowConfig | None = None
    flow_inverted: bool = False
    layout_only: bool = False
    masked: bool = False
    led: float = 0.0
    led_scale: float = 1.0
    led_around: bool = False
    renewed: float = 0.0
    local: bool = False
    adding: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    by_change: Mapping[str, Variant] = dataclasses.field(default_factory=dict)

    def making(self, changed: Sequence[str]) -> Variant:
        """The variant that makes an edit which changes these parts."""
        return self.by_change.get("+".join(changed), self)

    @property
    def modes(self) -> dict[str, str | int]:
        """The modes of the inflated model."""
        names = ("attention", "attention_k", "positions", "group_norm")
        return {name: getattr(self, name) for name in names}

    @property
    def motion_name(self) -> str:
        """The name of the motion's file; variants that tune in the same way share one."""
        further = [*(["started"] if self.started else []), *([self.tuned_at] if self.tuned_at != 1 else [])]
        decides = json.dumps([self.modes, self.tuning, *further], sort_keys=True)
        return hashlib.sha256(decides.encode()).hexdigest()[:12]


TWICE = {"num_steps": 2 * TUNE.num_steps}
PLAIN = Variant()
PAPER = {
    "full": PLAIN,
    "no tuning": Variant(tuned=False),
    "no inversion": Variant(inverted=False),
    "no ST-Attn": Variant(attention="spatial"),
    "no temporal": Variant(tuning={"modules": ("attn1.to_q", "attn2.to_q")}),
}
PIECES = {
    "source prompt": Variant(source_prompt=True),
    "source as negative": Variant(source_prompt=True, negative_source=True),
    "fixed point": Variant(method="fixed_point"),
    "exact": Variant(method="o_belm"),
    "injection": Variant(injection=PRESETS["style"].injection),
    "mask": Variant(masked=True),
    "adapter": Variant(led=0.5),
    "adapter, no inversion": Variant(led=0.5, inverted=False),
    "rotary": Variant(positions="rotary"),
    "k-step": Variant(attention="sparse_causal_k", attention_k=4),
    "twice the steps": Variant(tuning=TWICE),
    "frame norms": Variant(group_norm="frame"),
}
# What was taken over from the original without being scored, one at a time, on top of frame norms.
INHERITED = {
    "min-SNR 5": Variant(group_norm="frame", tuning={"min_snr_gamma": 5.0}),
    "noise offset 0.1": Variant(group_norm="frame", tuning={"noise_offset": 0.1}),
    "timesteps from 200": Variant(group_norm="frame", tuning={"min_timestep": 200}),
    "timesteps below 800": Variant(group_norm="frame", tuning={"max_timestep": 800}),
    "beta2 0.99": Variant(group_norm="frame", tuning={"betas": (0.9, 0.99)}),
    "28 steps, 2e-3": Variant(group_norm="frame", tuning={"num_steps": 28, "learning_rate": 2e-3}),
    "50 steps, 2e-3": Variant(group_norm="frame", tuning={"num_steps": 50, "learning_rate": 2e-3}),
    "200 steps, 5e-4": Variant(group_norm="frame", tuning=TWICE | {"learning_rate": 5e-4}),
    "temporal alone": Variant(group_norm="frame", tuning={"modules": ("attn_temp",)}),
    "keys and values too": Variant(
        group_norm="frame", tuning={"modules": ("attn1.to_q", "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn_temp")}
    ),
    "all frames": Variant(group_norm="frame", attention="full"),
    "first frame alone": Variant(group_norm="frame", attention="first"),
    "guidance 2.4": Variant(group_norm="frame", sampling={"guidance_scale": 2.4}),
    "guidance 4.5": Variant(group_norm="frame", sampling={"guidance_scale": 4.5}),
    "eta 0.3": Variant(group_norm="frame", sampling={"eta": 0.3}),
    "source prompt, frame norms": Variant(group_norm="frame", source_prompt=True),
    "40 sampling steps": Variant(group_norm="frame", sampling={"num_steps": 40}),
}
_SNR = INHERITED["min-SNR 5"]
# MotionDirector's two ways to take less of the clip's looks; also after four times the steps, which copy it.
LESS_LOOKS = {
    "debiased loss": Variant(tuning={"appearance_debias": 1.0}),
    "400 steps": Variant(tuning={"num_steps": 4 * TUNE.num_steps}),
    "400 steps, debiased loss": Variant(tuning={"num_steps": 4 * TUNE.num_steps, "appearance_debias": 1.0}),
    "noise prior 0.8": Variant(sampling={"noise_prior": 0.8}),
    "noise prior 0.5": Variant(sampling={"noise_prior": 0.5}),
    "noise prior 0.3": Variant(sampling={"noise_prior": 0.3}),
    "min-SNR, debiased loss": dataclasses.replace(_SNR, tuning={**_SNR.tuning, "appearance_debias": 1.0}),
}
# What helps, combined. Injection keeps shapes as they are, so edits of a shape run without it. The adapter would do so
# in late steps, so it is used in the first half only, which decides where things are.
BEST = {
    "best": Variant(
        tuning=TWICE,
        injection=PRESETS["style"].injection,
        layout_only=True,
        masked=True,
        led=0.5,
    )
}
BEST["best, frame norms"] = dataclasses.replace(BEST["best"], group_norm="frame")
BEST["best, min-SNR 5"] = dataclasses.replace(BEST["best, frame norms"], tuning=TWICE | {"min_snr_gamma": 5.0})
# Pairs of what helps, on the motion of min-SNR 5; what each gains and costs is in demo/creatures/README.md.
_TOGETHER = dataclasses.replace(_SNR, injection=PRESETS["style"].injection, layout_only=True, masked=True, led=0.5)
# What an edit adds starts from new noise; the adapter shows where the subject is, and leaves the place free.
_RENEWED = dataclasses.replace(_SNR, masked=True, renewed=1.0, adding={"guidance_scale": 6.0})
_LED_AROUND = dataclasses.replace(_RENEWED, led=0.8, led_around=True)
# The same adapter, which leads all edits; what else helps depends on what an edit changes.
_LED = dataclasses.replace(_SNR, masked=True, led=0.8, led_around=True)
_BY_CHANGE = dataclasses.replace(
    _LED,
    by_change={
        "place": dataclasses.replace(_LED, sampling={"resample": 2}),
        "thing": dataclasses.replace(_LED, sampling={"resample": 3}),
        "subject+place": dataclasses.replace(_LED, sampling={"guidance_scale": 6.0}),
    },
)
# An edit of the subject and more at once is free of the adapter, which holds outlines that are not to stay.
_FREE = dataclasses.replace(
    _BY_CHANGE,
    by_change={
        **_BY_CHANGE.by_change,
        "subject+place": dataclasses.replace(_SNR, sampling={"guidance_scale": 6.0}),
        "subject+style": _SNR,
    },
)
COMBINED = {
    "guidance 6": Variant(sampling={"guidance_scale": 6.0}),
    "min-SNR, guidance 6": dataclasses.replace(_SNR, sampling={"guidance_scale": 6.0}),
    "min-SNR, guidance 8": dataclasses.replace(_SNR, sampling={"guidance_scale": 8.0}),
    "min-SNR, adapter": dataclasses.replace(_SNR, led=0.5),
    "min-SNR, adapter to 0.8": dataclasses.replace(_SNR, led=0.8),
    "min-SNR, adapter, guidance 6": dataclasses.replace(_SNR, led=0.5, sampling={"guidance_scale": 6.0}),
    "min-SNR, mask": dataclasses.replace(_SNR, masked=True),
    "min-SNR, injection": dataclasses.replace(_SNR, injection=PRESETS["style"].injection, layout_only=True),
    "min-SNR, mask, adapter": dataclasses.replace(_SNR, masked=True, led=0.5),
    "min-SNR, all of them": _TOGETHER,
    "min-SNR, all of them, guidance 6": dataclasses.replace(_TOGETHER, sampling={"guidance_scale": 6.0}),
    "min-SNR, all of them, adapter to 0.8": dataclasses.replace(_TOGETHER, led=0.8),
    "min-SNR, new start for things": _RENEWED,
    "min-SNR, steps again for things": dataclasses.replace(_SNR, masked=True, adding={"resample": 3}),
    "min-SNR, new start for things, guidance 6": dataclasses.replace(_RENEWED, sampling={"guidance_scale": 6.0}),
    "min-SNR, subject led": _LED_AROUND,
    "min-SNR, led by change": _BY_CHANGE,
    "min-SNR, led by change, some free": _FREE,
    "min-SNR, new start for things, 10 steps": dataclasses.replace(_RENEWED, sampling={"num_steps": 10}),
    "min-SNR, subject led, 10 steps": dataclasses.replace(_LED_AROUND, sampling={"num_steps": 10}),
    "min-SNR, subject led to the end": dataclasses.replace(_LED_AROUND, led=1.0),
    "min-SNR, guidance to 0.7": dataclasses.replace(_SNR, sampling={"guidance_until": 0.7}),
    "min-SNR, guidance to 0.4": dataclasses.replace(_SNR, sampling={"guidance_until": 0.4}),
    "min-SNR, rank 32": dataclasses.replace(_SNR, tuning={**_SNR.tuning, "query_rank": 32}),
    "min-SNR, rank 32 at 3e-3": dataclasses.replace(
        _SNR, tuning={**_SNR.tuning, "query_rank": 32, "low_rank_learning_rate": 3e-3}
    ),
}
# A quarter of the steps, from zero and from a start that many clips have taught.
QUARTER = {**_SNR.tuning, "num_steps": TUNE.num_steps // 4}
STARTED = {
    "min-SNR, 25 steps": dataclasses.replace(_SNR, tuning=QUARTER),
    "min-SNR, 25 steps from a start": dataclasses.replace(_SNR, tuning=QUARTER, started=True),
    "min-SNR, 25 steps, led by change, some free": dataclasses.replace(_FREE, tuning=QUARTER),
    "min-SNR, start alone": dataclasses.replace(_SNR, tuning={**_SNR.tuning, "num_steps": 0}, started=True),
}
# What needs no tuning of its own is measured on the motions of a quarter of the steps.
_QUARTERED = STARTED["min-SNR, 25 steps"]
LESS_LOOKS["min-SNR, 25 steps, noise prior 0.8"] = dataclasses.replace(_QUARTERED, sampling={"noise_prior": 0.8})
# FLATTEN's attention along the flow.
FLOW = {
    "flow": dataclasses.replace(_QUARTERED, flow=FlowConfig()),
    "flow, inverted": dataclasses.replace(_QUARTERED, flow=FlowConfig(), flow_inverted=True),
    "flow, queries": dataclasses.replace(_QUARTERED, flow=FlowConfig(match="queries")),
}
# Ways to fewer evaluations of the UNet, see docs/time-to-edit.md. All tune for 25 steps or less, and all but the first
# two change one thing of the first.
_FEW = dataclasses.replace(_QUARTERED, sampling={"num_steps": 10})


def _sampled(**sampling: Any) -> Variant:
    return dataclasses.replace(_FEW, sampling={**_FEW.sampling, **sampling})


def _tuned(*, tuned_at: float = 1.0, **tuning: Any) -> Variant:
    return dataclasses.replace(_FEW, tuning={**_FEW.tuning, **tuning}, tuned_at=tuned_at)


CUTS = {
    "10 steps of DDIM": _FEW,
    "7 steps of DDIM": _sampled(num_steps=7),
    "10 steps of DPM-Solver++": dataclasses.replace(_FEW, method="dpmpp_2m"),
    "guidance to 0.7": _sampled(guidance_until=0.7),
    "guidance to 0.4": _sampled(guidance_until=0.4),
    "deep layers in every 2nd step": _sampled(deep_every=2),
    "half of the tokens merged": _sampled(merge_tokens=0.5),
    "12 tuning steps, 2e-3": _tuned(num_steps=12, learning_rate=2e-3, warmup_steps=3),
    "tuned at half size": _tuned(tuned_at=0.5),
}
# Two shapes that cross (docs/crossing.md), with 25 tuning steps and 10 sampling steps, all on one motion per clip.
_LOCAL = dataclasses.replace(_FEW, local=True)
_LOCAL_LED = dataclasses.replace(_LOCAL, masked=True, led=0.5)
_AT_FIVE = {**_FEW.sampling, "guidance_scale": 5.0}
CROSSING = {
    "crossing, guidance 5": dataclasses.replace(_FEW, sampling=_AT_FIVE),
    "crossing, mask": dataclasses.replace(_FEW, masked=True),
    "crossing, adapter": dataclasses.replace(_FEW, led=0.5),
    "crossing, adapter to 0.8": dataclasses.replace(_FEW, led=0.8),
    "crossing, injection": dataclasses.replace(_FEW, injection=PRESETS["style"].injection),
    "crossing, flow": dataclasses.replace(_FEW, flow=FlowConfig()),
    "crossing, subject led": dataclasses.replace(_FEW, masked=True, led=0.8, led_around=True),
    "local prompts": _LOCAL,
    "local prompts, mask": dataclasses.replace(_LOCAL, masked=True),
    "local prompts, mask, adapter": _LOCAL_LED,
    "local prompts, mask, adapter, guidance 5": dataclasses.replace(_LOCAL_LED, sampling=_AT_FIVE),
}
CEILING = {"drawn": Variant(drawn=True, tuned=False)}
VARIANTS = {
    **PAPER,
    **PIECES,
    **INHERITED,
    **LESS_LOOKS,
    **BEST,
    **COMBINED,
    **STARTED,
    **FLOW,
    **CUTS,
    **CROSSING,
    **CEILING,
}
