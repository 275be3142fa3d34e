"""The graphs, in API format, that render the frames of the thumbnails."""

from __future__ import annotations

from typing import Any

from lavie_workflows import TINY, TINY_SAMPLING, TINY_SHOWN, TINY_SPACE

SOURCE, MADE = "a bear is running in the snow", "a robot is walking in the desert"
INJECTION = {"attention": 0.5, "features": 0.8, "first_layer": 4}
EDITS = {
    "beach": "a bear is running on the beach",
    "elephant": "an elephant is running in the snow",
    "watercolor": "a bear is running in the snow, watercolor style",
    "turtle": "a turtle is walking in the desert",
}
# What the tiny LaVie draws.
SHAPES = (TINY_SHOWN, "a yellow square moving up on a black background")


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node in API format."""
    return {"class_type": kind, "inputs": inputs}


def text(prompt: str) -> dict[str, Any]:
    return node("CLIPTextEncode", clip=["demo", 1], text=prompt)


def tuned_graph(steps: int, resume: str, edits: dict[str, str]) -> dict[str, Any]:
    """A graph that tunes the demo model up to some steps, and renders edits."""
    sockets = {"model": ["demo", 0], "vae": ["demo", 2], "frames": ["demo", 3], "positive": ["source_text", 0]}
    settings = {"learning_rate": 1e-3, "tune_seed": 33, "precision": "auto", "memory": "speed", "preview_every": 0}
    run = {"num_steps": steps, "save_every": 100, "run_name": "thumbnails", "resume": resume}
    strengths = {"strength": 1.0, "temporal_strength": 1.0, "attention": "as tuned"}
    graph = {
        "demo": node("TAVLoadDemoModel"),
        "source_text": text(SOURCE),
        "empty": text(""),
        "tune": node("TAVOneShotTune", **sockets, **settings, **run),
        "apply": node("TAVApplyMotion", model=["demo", 0], motion=["tune", 0], **strengths),
        "encode": node("VAEEncode", pixels=["demo", 3], vae=["demo", 2]),
        "invert": node(
            "TAVDDIMInvert", model=["apply", 0], conditioning=["empty", 0], latent=["encode", 0], num_steps=20
        ),
    }
    for key, prompt in edits.items():
        graph |= {f"{key}_text": text(prompt), f"{key}_edit": edit_node(f"{key}_text")}
        graph[f"{key}_frames"] = node("VAEDecode", samples=[f"{key}_edit", 0], vae=["demo", 2])
        graph[key] = save(f"{key}_frames")
    return graph


def edit_node(prompt: str, *, model: str = "apply", latent: str = "invert", **more: Any) -> dict[str, Any]:
    settings = {"num_steps": 20, "cfg": 4.0, "eta": 0.0, "edit_seed": 33, **more}
    prompts = {"positive": [prompt, 0], "negative": ["empty", 0]}
    return node("TAVSampleEdit", model=[model, 0], latent=[latent, 0], **prompts, **settings)


def save(frames: str, output: int = 0) -> dict[str, Any]:
    return node("SaveImage", images=[frames, output], filename_prefix="thumbnails/frames")


def first_graph() -> dict[str, Any]:
    """All but the longer run: the clip, its edges, and edits (core's sampler, tiles, windows, mask, injection)."""
    prompts = {"positive": ["beach_text", 0], "negative": ["empty", 0]}
    noise = {"noise": ["invert", 2], "sigmas": ["invert", 3], "latent_image": ["encode", 0]}
    injection = {"trajectory": ["invert", 1], "conditioning": ["empty", 0], **INJECTION}
    return tuned_graph(100, "restart", EDITS) | {
        "source": save("demo", 3),
        "canny": node("Canny", image=["demo", 3], low_threshold=0.2, high_threshold=0.5),
        "edges": save("canny"),
        "guider": node("CFGGuider", model=["apply", 0], cfg=4.0, **prompts),
        "sampler": node("KSamplerSelect", sampler_name="ddim"),
        "sampled": node("SamplerCustomAdvanced", guider=["guider", 0], sampler=["sampler", 0], **noise),
        "stock_frames": node("VAEDecode", samples=["sampled", 0], vae=["demo", 2]),
        "stock": save("stock_frames"),
        "tiled_frames": node(
            "VAEDecodeTiled",
            samples=["elephant_edit", 0],
            vae=["demo", 2],
            tile_size=128,
            overlap=32,
            temporal_size=64,
            temporal_overlap=8,
        ),
        "tiled": save("tiled_frames"),
        "windows": node("TAVContextWindows", model=["apply", 0], length=4, overlap=1),
        "windowed_invert": node(
            "TAVDDIMInvert", model=["windows", 0], conditioning=["empty", 0], latent=["encode", 0], num_steps=20
        ),
        "windowed_edit": edit_node("watercolor_text", model="windows", latent="windowed_invert"),
        "windowed_frames": node("VAEDecode", samples=["windowed_edit", 0], vae=["demo", 2]),
        "windowed": save("windowed_frames"),
        "source_model": node("TAVInjectSource", model=["apply", 0], **injection),
        "injected_edit": edit_node("watercolor_text", model="source_model"),
        "injected_frames": node("VAEDecode", samples=["injected_edit", 0], vae=["demo", 2]),
        "injected": save("injected_frames"),
        **local_graph(),
    }


def local_graph() -> dict[str, Any]:
    """An edit inside the demo's mask, grown a little."""
    whole = {"feather": 4, "first_frame": 0, "last_frame": -1, "ramp": 3}
    return {
        "mask": node("GrowMask", mask=["demo", 5], expand=10, tapered_corners=True),
        "local_edit": edit_node("elephant_text", mask=["mask", 0], feather=4, trajectory=["invert", 1]),
        "local_frames": node("VAEDecode", samples=["local_edit", 0], vae=["demo", 2]),
        "composite": node(
            "TAVCompositeEdit", source=["demo", 3], edited=["local_frames", 0], mask=["mask", 0], **whole
        ),
        "local": save("composite"),
    }


def zero_shot_graph() -> dict[str, Any]:
    """Videos from text, with a motion field and without one."""
    graph = {
        "demo": node("TAVLoadDemoModel"),
        "shown": text(MADE),
        "empty": text(""),
        "cross": node("TAVCrossFrameModel", model=["demo", 0], attention="first"),
        "field": node("TAVMotionField", move_x=5.0, move_y=2.0, zoom=1.0, turn=0.0, path=""),
        "space": node("EmptyLatentImage", width=128, height=128, batch_size=8),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
    }
    prompts = {"model": ["cross", 0], "positive": ["shown", 0], "negative": ["empty", 0], "cfg": 4.0}
    for key, field in (("made", {"motion_field": ["field", 0]}), ("still", {})):
        moments = {"start_seed": 7, "num_steps": 20, "t0": 0.6, "t1": 0.7}
        graph[f"{key}_start"] = node("TAVZeroShotStart", **prompts, **moments, latent=["space", 0], **field)
        start = {"sigmas": [f"{key}_start", 1], "latent_image": [f"{key}_start", 0]}
        quiet = {"add_noise": False, "noise_seed": 0, "sampler": ["sampler", 0]}
        graph[f"{key}_latent"] = node("SamplerCustom", **prompts, **quiet, **start)
        graph[f"{key}_frames"] = node("VAEDecode", samples=[f"{key}_latent", 0], vae=["demo", 2])
        graph[key] = save(f"{key}_frames")
    return graph


def drawn_graph() -> dict[str, Any]:
    """A picture that is moved along a path, and the video that is made of it."""
    moves = {"path": "[[0.3, 0.7], [0.45, 0.45], [0.7, 0.65]]", "num_frames": 8, "still": True, "scale": 1.0}
    camera = {"pan_x": 0.0, "pan_y": 0.0, "zoom": 1.0, "turn": 0.0, "own_scale": 1.0, "follows": False}
    edges = {"begin": "object", "margin": 3, "feather": 1}
    return {
        "demo": node("TAVLoadDemoModel"),
        "shown": text(SOURCE),
        "empty": text(""),
        "animate": node("TAVAnimate", frames=["demo", 3], mask=["demo", 5], **moves, **camera, **edges),
        "crude": save("animate"),
        "cross": node("TAVCrossFrameModel", model=["demo", 0], attention="sparse_causal"),
        "encode": node("VAEEncode", pixels=["animate", 0], vae=["demo", 2]),
        "invert": node(
            "TAVDDIMInvert", model=["cross", 0], conditioning=["empty", 0], latent=["encode", 0], num_steps=20
        ),
        "drawn_edit": edit_node("shown", model="cross"),
        "drawn_frames": node("VAEDecode", samples=["drawn_edit", 0], vae=["demo", 2]),
        "drawn": save("drawn_frames"),
    }


def cascade_graph() -> dict[str, Any]:
    """Videos from text by the tiny LaVie; the first one with more frames, some of them larger."""
    graph = {
        "parts": node("TAVLoadDemoCascade"),
        "empty": node("CLIPTextEncode", clip=["parts", 0], text=""),
        "lavie": node("TAVLoadLaVie", model_name=TINY["base"]),
        "space": node("EmptyLatentImage", **TINY_SPACE),
    }
    for number, shown in enumerate(SHAPES):
        told = f"text_{number}"
        graph[told] = node("CLIPTextEncode", clip=["parts", 0], text=shown)
        prompts = {"model": ["lavie", 0], "positive": [told, 0], "negative": ["empty", 0], "latent_image": ["space", 0]}
        graph[f"latent_{number}"] = node("KSampler", **prompts, **TINY_SAMPLING, denoise=1.0)
        graph[f"video_{number}"] = node("VAEDecode", samples=[f"latent_{number}", 0], vae=["parts", 1])
        graph[f"base_{number}"] = save(f"video_{number}")
    told = {"clip": ["parts", 0], "prompt": SHAPES[0], "num_steps": 20, "cfg": 1.0}
    windows = {"negative": "None", "prompt_suffix": ", 4k.", "window": 16, "window_overlap": 4}
    chunks = {"negative": "blur, worst quality", "chunk": 8, "chunk_overlap": 2, "noise_level": 50}
    files = {"vae": ["parts", 1], "model_name": TINY["interpolation"]}
    graph["frames"] = node(
        "TAVInterpolateFrames", images=["video_0", 0], **told, **windows, **files, interpolate_seed=3418, fps=8.0
    )
    files = {"vae": ["parts", 2], "model_name": TINY["super_resolution"]}
    graph["some"] = node("ImageFromBatch", image=["frames", 0], batch_index=0, length=16)
    graph["upscaled"] = node("TAVUpscaleVideo", images=["some", 0], **told, **chunks, **files, upscale_seed=10)
    return graph | {"between": save("frames"), "large": save("upscaled")}
