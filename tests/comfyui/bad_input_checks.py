"""What the nodes say of inputs that no stock node makes, measured inside a ComfyUI process; prints one JSON object.

Usage: COMFYUI_PATH=... python bad_input_checks.py
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator

from host_checks import CLIP, DEMO, EMPTY, TARGET, make_motion

# After host_checks, which sets ComfyUI up.
import torch  # isort: skip
from tune_a_video_pack.nodes.core import motion as core_motion  # isort: skip
from tune_a_video_pack.nodes.sockets import bridge  # isort: skip
from tune_a_video_pack.nodes.tuning import tune  # isort: skip
from tune_a_video_pack.nodes.sampling.blend_inversions import BlendInversions  # isort: skip
from tune_a_video_pack.nodes.video.compare import CompareVideos  # isort: skip
from tune_a_video_pack.nodes.sampling.compare_inversions import CompareInversions  # isort: skip
from tune_a_video_pack.nodes.video.composite import CompositeEdit  # isort: skip
from tune_a_video_pack.nodes.sampling.flow_guidance import FlowGuidance  # isort: skip
from tune_a_video_pack.nodes.sampling.inject_source import InjectSource  # isort: skip
from tune_a_video_pack.nodes.sampling.invert import DDIMInvert  # isort: skip
from tune_a_video_pack.nodes.video.measure import MeasureVideo  # isort: skip
from tune_a_video_pack.nodes.video.report import Report  # isort: skip
from tune_a_video_pack.nodes.sampling.sample_edit import SampleEdit  # isort: skip
from tune_a_video_pack.tav_core.errors import TavError  # isort: skip

STEPS, SIDE = 2, 12
IMAGES = {
    "one picture": CLIP[0],
    "five axes": CLIP[None],
    "no frame": CLIP[:0],
    "no width": CLIP[:, :, :0],
    "grey": CLIP[..., :1],
    "two channels": CLIP[..., :2],
    "channels first": CLIP.movedim(-1, 1),
    "bytes": (CLIP * 255).to(torch.uint8),
    "whole numbers": CLIP.to(torch.int64),
    "NaN": CLIP * float("nan"),
    "a mask": CLIP[..., 0],
    "a list": [CLIP],
}
SAMPLES = {
    "one image": torch.zeros(4, SIDE, SIDE),
    "a video model's": torch.zeros(1, 4, 3, SIDE, SIDE),
    "no frame": torch.zeros(0, 4, SIDE, SIDE),
    "no height": torch.zeros(3, 4, 0, SIDE),
    "sixteen channels": torch.zeros(3, 16, SIDE, SIDE),
    "whole numbers": torch.zeros(3, 4, SIDE, SIDE, dtype=torch.int64),
    "NaN": torch.full((3, 4, SIDE, SIDE), float("nan")),
}
CONDITIONINGS = {
    "1.x": [[torch.zeros(1, 77, 768), {}]],
    "2.x": [[torch.zeros(1, 77, 1024), {}]],
    "XL": [[torch.zeros(1, 77, 2048), {"pooled_output": torch.zeros(1, 1280)}]],
    "pooled alone": [[torch.zeros(1, 64), {}]],
    "nothing": [],
    "one of two": [*EMPTY, [torch.zeros(1, 77, 768), {}]],
}


FRAMES, *SIZE = CLIP.shape[:3]
MASKS = {
    "colours": CLIP,
    "no frame": torch.zeros(0, *SIZE),
    "no width": torch.zeros(FRAMES, SIZE[0], 0),
    "one line": torch.zeros(SIZE[1]),
    "another size": torch.ones(FRAMES, 64, 64),
    "fewer frames": torch.ones(FRAMES - 1, *SIZE),
    "NaN": torch.full((FRAMES, *SIZE), float("nan")),
    "of 255": torch.full((FRAMES, *SIZE), 255.0),
    "a list": [CLIP[..., 0]],
}
TRAJECTORIES = {
    "the two ends": lambda t: {"latents": t.latents[[0, -1]], "timesteps": (1, 251, 501)},
    "two videos": lambda t: {"latents": t.latents.repeat(1, 2, 1, 1, 1, 1)},
    "NaN": lambda t: {"latents": t.latents * float("nan")},
    "whole numbers": lambda t: {"latents": t.latents.to(torch.int64)},
    "no frame": lambda t: {"latents": t.latents[:, :, :, :0]},
    "timesteps turned round": lambda t: {"timesteps": t.timesteps[::-1]},
}
WHOLE = {"feather": 4, "first_frame": 0, "last_frame": -1, "ramp": 0}
SHARES = {"attention": 0.5, "features": 0.5, "first_layer": 4}


def edit_cases(tuned: object, latent: dict[str, torch.Tensor]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Of the nodes that change how a clip is edited."""
    inverted, trajectory, *_ = DDIMInvert.execute(tuned, EMPTY, latent, STEPS).args
    settings = {"num_steps": STEPS, "cfg": 2.0, "eta": 0.0, "edit_seed": 1, "trajectory": trajectory}
    for name, mask in MASKS.items():
        edit = lambda x=mask: SampleEdit.execute(tuned, TARGET, EMPTY, inverted, **settings, mask=x)  # noqa: E731
        yield f"edit, mask: {name}", edit
        yield f"composite, mask: {name}", lambda x=mask: CompositeEdit.execute(CLIP, CLIP, **WHOLE, mask=x)
    for name, images in IMAGES.items():
        yield f"composite, source: {name}", lambda x=images: CompositeEdit.execute(x, CLIP, **WHOLE)
        yield f"composite, edited: {name}", lambda x=images: CompositeEdit.execute(CLIP, x, **WHOLE)
        yield (
            f"flow guidance, frames: {name}",
            lambda x=images: FlowGuidance.execute(tuned, x, 1, "output", 1.0, "none"),
        )
    for name, change in TRAJECTORIES.items():
        other = dataclasses.replace(trajectory, **change(trajectory))
        yield (
            f"inject, inversion: {name}",
            lambda x=other: InjectSource.execute(tuned, x, EMPTY, **SHARES),
        )
        yield (
            f"blend, inversion: {name}",
            lambda x=other: BlendInversions.execute(inverted, trajectory, inverted, x, 0.5),
        )
    for name, samples in SAMPLES.items():
        given = {"samples": samples}
        yield (
            f"blend, latent_2: {name}",
            lambda x=given: BlendInversions.execute(inverted, trajectory, x, trajectory, 0.5),
        )
    for name, text in CONDITIONINGS.items():
        yield f"inject, conditioning: {name}", lambda x=text: InjectSource.execute(tuned, trajectory, x, **SHARES)


def cases() -> Iterator[tuple[str, Callable[[], object]]]:
    """What is tried, by name."""
    tuned, latent = core_motion.apply_motion(DEMO.model, make_motion(1)), {"samples": DEMO.vae.encode(CLIP)}
    settings = {"num_steps": STEPS, "cfg": 2.0, "eta": 0.0, "edit_seed": 1}
    measure = {"prompt": "", "clip_model": "none", "dino_model": "none", "pairs": "all", "motion": False}
    comparison = {"vae": DEMO.vae, "num_steps": STEPS, "iterations": 2}
    for name, images in IMAGES.items():
        yield f"tune, frames: {name}", lambda x=images: tune.check_frames(x)
        yield f"compare, video_b: {name}", lambda x=images: CompareVideos.execute(video_a=[CLIP], video_b=[x])
        yield f"measure, frames: {name}", lambda x=images: MeasureVideo.execute(x, **measure)
        yield f"measure, source: {name}", lambda x=images: MeasureVideo.execute(CLIP, **measure, source=x)
        yield f"report, video_a: {name}", lambda x=images: Report.execute(8.0, "bad", "", video_a=x)
    for name, samples in SAMPLES.items():
        given = {"samples": samples}
        yield f"invert, latent: {name}", lambda x=given: DDIMInvert.execute(tuned, EMPTY, x, STEPS)
        yield (
            f"compare inversions, latent: {name}",
            lambda x=given: CompareInversions.execute(tuned, EMPTY, x, **comparison),
        )
        yield f"edit, latent: {name}", lambda x=given: SampleEdit.execute(tuned, TARGET, EMPTY, x, **settings)
    for name, text in CONDITIONINGS.items():
        yield f"invert, conditioning: {name}", lambda x=text: DDIMInvert.execute(tuned, x, latent, STEPS)
        yield f"edit, positive: {name}", lambda x=text: SampleEdit.execute(tuned, x, EMPTY, latent, **settings)
        yield f"edit, negative: {name}", lambda x=text: SampleEdit.execute(tuned, TARGET, x, latent, **settings)
        yield (
            f"tune, positive: {name}",
            lambda x=text: bridge.check_context(bridge.to_context(x, "positive"), 64, "positive"),
        )
    trajectory = DDIMInvert.execute(tuned, EMPTY, latent, STEPS).args[1]
    for frames in (1, 2, 4):
        fewer = {"samples": latent["samples"][:frames]}
        yield (
            f"edit, latent: {frames} frames of 5",
            lambda x=fewer: SampleEdit.execute(tuned, TARGET, EMPTY, x, **settings, trajectory=trajectory),
        )
    yield from edit_cases(tuned, latent)


def outcome(run: Callable[[], object]) -> tuple[str, str]:
    """The class of what was raised, and what it says; "library" where it is one of the library's own."""
    try:
        run()
    except TavError as error:
        return "library", str(error)
    except Exception as error:
        return type(error).__name__, str(error)[:300]
    return "nothing", ""


with torch.inference_mode():
    print("RESULTS " + json.dumps({name: outcome(run) for name, run in cases()}))
