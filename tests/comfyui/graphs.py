"""Graphs in API format for the tests: small ones on the demo model."""

from __future__ import annotations

from typing import Any

Graph = dict[str, dict[str, Any]]
SOURCE, EDITED = "a bear is running in the snow", "an elephant is running in the snow"
TUNE = {
    "num_steps": 4,
    "learning_rate": 1e-3,
    "tune_seed": 33,
    "precision": "auto",
    "memory": "speed",
    "preview_every": 0,
    "save_every": 2,
    "run_name": "test",
    "resume": "continue",
}
OPTIONS = {
    "lr_schedule": "constant",
    "warmup_steps": 0,
    "max_grad_norm": 1.0,
    "weight_decay": 0.01,
    "epsilon": 1e-8,
    "window": 0,
    "beta1": 0.9,
    "beta2": 0.999,
    "modules": "as the paper",
    "attention": "sparse_causal",
    "attention_k": 2,
    "recompute": "auto",
}
CLIP = {"video": "clip.mp4", "start": 0, "stride": 1, "num_frames": 8, "width": 96, "height": 96, "fit": "crop"}
APPLY = {"strength": 1.0, "temporal_strength": 1.0, "attention": "as tuned"}
EDIT = {"num_steps": 3, "cfg": 4.0, "eta": 0.0, "edit_seed": 33}
LABELS = {f"label_{slot}": slot for slot in "abcd"}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """One node; a link is [node id, output number]."""
    return {"class_type": class_type, "inputs": inputs}


def text(prompt: str) -> dict[str, Any]:
    return node("CLIPTextEncode", clip=["demo", 1], text=prompt)


def tune_graph(**changes: Any) -> Graph:
    """The demo model tuned on its clip."""
    links = {"model": ["demo", 0], "vae": ["demo", 2], "frames": ["demo", 3], "positive": ["source", 0]}
    return {
        "demo": node("TAVLoadDemoModel"),
        "source": text(SOURCE),
        "tune": node("TAVOneShotTune", **{**links, **TUNE, **changes}),
    }


def edit_graph(**tuning: Any) -> Graph:
    """The whole way, from the demo's clip to pictures of the edit."""
    graph = tune_graph(**tuning)
    return graph | {
        "empty": text(""),
        "edited": text(EDITED),
        "apply": node("TAVApplyMotion", model=["demo", 0], motion=["tune", 0], **APPLY),
        "encode": node("VAEEncode", pixels=["demo", 3], vae=["demo", 2]),
        "invert": node(
            "TAVDDIMInvert", model=["apply", 0], conditioning=["empty", 0], latent=["encode", 0], num_steps=3
        ),
        "edit": node(
            "TAVSampleEdit",
            model=["apply", 0],
            positive=["edited", 0],
            negative=["empty", 0],
            latent=["invert", 0],
            trajectory=["invert", 1],
            **EDIT,
        ),
        "decode": node("VAEDecode", samples=["edit", 0], vae=["demo", 2]),
        "compare": node("TAVCompareVideos", video_a=["demo", 3], video_b=["decode", 0], **LABELS),
        "save": node("SaveImage", images=["compare", 0], filename_prefix="edit"),
    }


def changed(graph: Graph, name: str, **inputs: Any) -> Graph:
    """A graph with other inputs at one node; None takes an input away."""
    kept = {k: v for k, v in {**graph[name]["inputs"], **inputs}.items() if v is not None}
    return {**graph, name: {**graph[name], "inputs": kept}}


def clip_graph(**changes: Any) -> Graph:
    """A clip loaded and shown."""
    return {
        "load": node("TAVLoadClip", **{**CLIP, **changes}),
        "save": node("PreviewImage", images=["load", 0]),
    }


def motion_graph(name: str = "good.safetensors") -> Graph:
    """A saved motion on the demo model."""
    return {
        "demo": node("TAVLoadDemoModel"),
        "empty": text(""),
        "load": node("TAVLoadMotion", motion_name=name),
        "apply": node("TAVApplyMotion", model=["demo", 0], motion=["load", 0], **APPLY),
        "encode": node("VAEEncode", pixels=["demo", 3], vae=["demo", 2]),
        "invert": node(
            "TAVDDIMInvert", model=["apply", 0], conditioning=["empty", 0], latent=["encode", 0], num_steps=2
        ),
        "decode": node("VAEDecode", samples=["invert", 0], vae=["demo", 2]),
        "show": node("PreviewImage", images=["decode", 0]),
    }
