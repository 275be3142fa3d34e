"""The parts that the example workflows share. Each function adds a node, or a group of nodes, to a graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workflow_graph import Node, Output, WorkflowGraph

LOAD, TUNE, INVERT, EDIT, RESULT = "#3f789e", "#b06634", "#8888aa", "#a1309b", "#88aa88"
CHECKPOINT, CONTROLNET = "v1-5-pruned-emaonly-fp16.safetensors", "control_v11p_sd15_canny_fp16.safetensors"
PIX2PIX = "instruct-pix2pix-00-22000.safetensors"
MOTION, CLIP, SOURCE = "my_motion.safetensors", "my_clip.mp4", "a man is skiing"
DEMO_SOURCE, DEMO_EDITED = "a bear is running in the snow", "a bear is running on the beach"
DEMO_SIZE = 128
DEMO_TUNING = {"num_steps": 100, "learning_rate": 1e-3, "memory": "speed"}
DEMO_EDIT = {"num_steps": 20, "cfg": 4.0}
FACE = "https://huggingface.co"
SD15 = {
    "name": CHECKPOINT,
    "url": f"{FACE}/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/{CHECKPOINT}",
    "directory": "checkpoints",
}
SDXL = {
    "name": "sd_xl_base_1.0.safetensors",
    "url": f"{FACE}/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/sd_xl_base_1.0.safetensors",
    "directory": "checkpoints",
}
INSTRUCT = {
    "name": PIX2PIX,
    "url": f"{FACE}/timbrooks/instruct-pix2pix/resolve/main/{PIX2PIX}",
    "directory": "checkpoints",
}
UPSCALER = {
    "name": "x4-upscaler-ema.safetensors",
    "url": f"{FACE}/stabilityai/stable-diffusion-x4-upscaler/resolve/main/x4-upscaler-ema.safetensors",
    "directory": "checkpoints",
}
CANNY = {
    "name": CONTROLNET,
    "url": f"{FACE}/comfyanonymous/ControlNet-v1-1_fp16_safetensors/resolve/main/{CONTROLNET}",
    "directory": "controlnet",
}
# Room below the widgets: for a live preview or a chart, and for a player. Nodes 2.0 draws none smaller; in ComfyUI
# 0.8, it draws a preview as a square as wide as the node, with its size below.
PREVIEW, PLAYER = 278, 246
# Below a preview, Nodes 2.0 of ComfyUI 0.8 draws its size, and core's samplers leave no room for that.
SAMPLED = PREVIEW + 28
# Load Clip's own preview of the video, and what it says of it after a run.
SCREENING = 258
# Animate's picture, which is drawn on.
DRAWING = 330


def load_demo(graph: WorkflowGraph) -> tuple[Node, Node, Node]:
    """A group: the demo model; its source and empty prompts."""
    graph.group("Load", LOAD, below=True)
    demo = graph.add("TAVLoadDemoModel")
    return demo, prompt(graph, demo, DEMO_SOURCE, "Prompt of the clip"), prompt(graph, demo, "", "Empty prompt")


def load_checkpoint(
    graph: WorkflowGraph, *, source: str = "", checkpoint: str = CHECKPOINT, lora: str = ""
) -> tuple[Node, ...]:
    """A group: a checkpoint of the user's own.

    Args:
        source: a prompt that says what the clip shows.
        lora: a LoRA to apply to the checkpoint.

    Returns:
        The nodes with MODEL, CLIP and VAE (with a LoRA: without VAE), and the prompts: source if there is one, empty;
        with a LoRA also the checkpoint's own node.
    """
    graph.group("Load", LOAD, below=True)
    known = {CHECKPOINT: SD15, PIX2PIX: INSTRUCT}
    models = [known[checkpoint]] if checkpoint in known else None
    loader = model = graph.add("CheckpointLoaderSimple", ckpt_name=checkpoint, models=models)
    if lora:
        sockets = {"model": loader[0], "clip": loader[1]}
        model = graph.add("LoraLoader", **sockets, lora_name=lora, strength_model=0.8)
    prompts = [prompt(graph, model, source, "Prompt of the clip")] if source else []
    prompts.append(prompt(graph, model, "", "Empty prompt"))
    return (model, *prompts, *([loader] if lora else []))


def load_clip(graph: WorkflowGraph, **settings: Any) -> Node:
    """A group: a clip of the user's own."""
    graph.group("Clip", LOAD)
    return graph.add("TAVLoadClip", video=CLIP, room=SCREENING, **settings)


def load_edges(graph: WorkflowGraph, frames: Output) -> tuple[Node, Node]:
    """A group: a ControlNet for edges, and the edges of the frames."""
    graph.group("ControlNet", LOAD, below=True)
    control = graph.add("ControlNetLoader", control_net_name=CONTROLNET, models=[CANNY])
    return control, graph.add("Canny", image=frames, low_threshold=0.2, high_threshold=0.5)


def prompt(graph: WorkflowGraph, loader: Node, text: str | Output, title: str = "") -> Node:
    """A prompt, encoded by a loader's CLIP."""
    return graph.add("CLIPTextEncode", clip=loader[1], text=text, title=title, folded=isinstance(text, Output))


def tune(graph: WorkflowGraph, loader: Node, frames: Output, positive: Node, **settings: Any) -> Node:
    """A node: tuning, with room for its chart and previews. `loader` has MODEL and VAE."""
    sockets = {"model": loader[0], "vae": loader[2], "frames": frames, "positive": positive[0]}
    return graph.add("TAVOneShotTune", **sockets, **settings, room=PREVIEW)


def apply_motion(graph: WorkflowGraph, model: Output, motion: Output, *, folded: bool = False) -> Output:
    """A node: the MODEL with the motion applied."""
    return graph.add("TAVApplyMotion", model=model, motion=motion, folded=folded)["model"]


def invert(
    graph: WorkflowGraph,
    model: Output,
    vae: Output,
    frames: Output,
    empty: Node,
    *,
    title: str = "Invert",
    below: bool = True,
    **how: Any,
) -> tuple[Node, Node]:
    """A group: the clip's latents, and their inversion."""
    graph.group(title, INVERT, below=below)
    return invert_clip(graph, model, vae, frames, empty, **how)


def invert_clip(
    graph: WorkflowGraph,
    model: Output,
    vae: Output,
    frames: Output,
    empty: Node,
    *,
    folded: bool = True,
    **settings: Any,
) -> tuple[Node, Node]:
    """Two nodes: the clip's latents, and their inversion; folded where there is no room for its previews."""
    encoded = graph.add("VAEEncode", pixels=frames, vae=vae, folded=folded)
    conditions = {"model": model, "conditioning": empty[0], "latent": encoded[0]}
    return encoded, graph.add("TAVDDIMInvert", **conditions, **settings, room=PREVIEW, folded=folded)


def invert_saved(
    graph: WorkflowGraph, model: Node, vae: Output, clip: Node, empty: Node, *, folded: bool = False
) -> tuple[Output, Node, Node]:
    """Two groups: a saved motion, and an inversion. Returns the MODEL, the clip's latents and their inversion."""
    graph.group("Motion", TUNE)
    motion = graph.add("TAVLoadMotion", motion_name=MOTION)
    patched = apply_motion(graph, model[0], motion[0])
    return patched, *invert(graph, patched, vae, clip["frames"], empty, folded=folded)


def sample(
    graph: WorkflowGraph,
    model: Output,
    inverted: Node,
    positive: Output,
    negative: Output,
    *,
    folded: bool = False,
    **settings: Any,
) -> Output:
    """A node: the latents of an edit."""
    prompts, start = {"positive": positive, "negative": negative}, {"latent": inverted[0], "trajectory": inverted[1]}
    about = {**prompts, **start, **settings}
    return graph.add("TAVSampleEdit", model=model, **about, room=PREVIEW, folded=folded)[0]


def decode(graph: WorkflowGraph, latent: Output, vae: Output) -> Output:
    """A node: the frames of an edit."""
    return graph.add("VAEDecode", samples=latent, vae=vae, folded=True)[0]


def compare(graph: WorkflowGraph, *videos: Output, **look: Any) -> Output:
    """A group: videos side by side. The nodes that save them belong into it as well."""
    graph.group("Result", RESULT)
    return side_by_side(graph, *videos, **look)


def side_by_side(
    graph: WorkflowGraph,
    *videos: Output,
    labels: Iterable[str | Output] = ("source", "edit"),
    folded: bool = False,
) -> Output:
    """A node: videos side by side."""
    shown = {f"video_{slot}": video for slot, video in zip("abcd", videos, strict=False)}
    named = {f"label_{slot}": label for slot, label in zip("abcd", labels, strict=False)}
    return graph.add("TAVCompareVideos", **shown, **named, folded=folded)["frames"]


def save(graph: WorkflowGraph, images: Output, fps: Output | float, name: str, **sound: Output) -> Node:
    """Two nodes: frames as a video in the output folder, with room for the player. Returns the second."""
    video = graph.add("CreateVideo", images=images, fps=fps, **sound, folded=True)
    return graph.add("SaveVideo", video=video[0], filename_prefix=f"tune_a_video/{name}", room=PLAYER)
