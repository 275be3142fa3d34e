"""The parts that the example workflows share. Each function adds a node, or a group of nodes, to a graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workflow_graph import Node, Output, WorkflowGraph

LOAD, TUNE, INVERT, EDIT, RESULT = "#3f789e", "#b06634", "#8888aa", "#a1309b", "#88aa88"
CHECKPOINT, CONTROLNET = "v1-5-pruned-emaonly-fp16.safetensors", "control_v11p_sd15_canny_fp16.safetensors"
MOTION, CLIP, SOURCE = "my_motion.safetensors", "my_clip.mp4", "a man is skiing"
DEMO_SOURCE, DEMO_EDITED = "a red circle on a blue background", "a yellow circle on a blue background"
DEMO_TUNING = {"num_steps": 100, "learning_rate": 1e-3, "memory": "speed"}
DEMO_EDIT = {"num_steps": 20, "cfg": 3.2}
FACE = "https://huggingface.co"
SD15 = {
    "name": CHECKPOINT,
    "url": f"{FACE}/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/{CHECKPOINT}",
    "directory": "checkpoints",
}
CANNY = {
    "name": CONTROLNET,
    "url": f"{FACE}/comfyanonymous/ControlNet-v1-1_fp16_safetensors/resolve/main/{CONTROLNET}",
    "directory": "controlnet",
}
WIDTH, PLAYER, CHART, PREVIEW = 400, 400, 320, 220


def load_demo(graph: WorkflowGraph) -> tuple[Node, ...]:
    """A group: the demo model; its source, empty and edited prompts."""
    graph.group("Load", LOAD)
    demo = graph.add("TAVLoadDemoModel", wide=WIDTH)
    source = prompt(graph, demo, DEMO_SOURCE, "Prompt of the clip")
    empty = prompt(graph, demo, "", "Empty prompt")
    return demo, source, empty, prompt(graph, demo, DEMO_EDITED, "Edited prompt")


def load_own(
    graph: WorkflowGraph,
    *edits: str,
    source: str = "",
    checkpoint: str = CHECKPOINT,
    title: str = "",
    lora: str = "",
    **clip: Any,
) -> tuple[Node, ...]:
    """A group: a checkpoint and a clip of the user's own.

    Args:
        edits: edited prompts.
        source: a prompt that says what the clip shows.
        title: title of the checkpoint's node.
        lora: a LoRA to apply to the checkpoint.
        clip: settings of Load Clip.

    Returns:
        The nodes with MODEL, CLIP and VAE (with a LoRA: without VAE), the clip, and the prompts: source if there is
        one, empty, edited; with a LoRA also the checkpoint's own node.
    """
    graph.group("Load", LOAD)
    models = [SD15] if checkpoint == CHECKPOINT else None
    loader = graph.add("CheckpointLoaderSimple", ckpt_name=checkpoint, title=title, wide=WIDTH, models=models)
    model = loader
    if lora:
        sockets = {"model": loader[0], "clip": loader[1]}
        model = graph.add("LoraLoader", **sockets, lora_name=lora, strength_model=0.8, wide=WIDTH)
    frames = graph.add("TAVLoadClip", video=CLIP, wide=WIDTH, room=PLAYER, **clip)
    graph.column()
    prompts = [prompt(graph, model, source, "Prompt of the clip")] if source else []
    prompts.append(prompt(graph, model, "", "Empty prompt"))
    for number, text in enumerate(edits, start=1):
        prompts.append(prompt(graph, model, text, f"Edited prompt {number}" if len(edits) > 1 else "Edited prompt"))
    return (model, frames, *prompts, *([loader] if lora else []))


def prompt(graph: WorkflowGraph, loader: Node, text: str, title: str) -> Node:
    """A prompt, encoded by a loader's CLIP."""
    return graph.add("CLIPTextEncode", clip=loader[1], text=text, title=title, wide=WIDTH)


def tune(graph: WorkflowGraph, loader: Node, frames: Output, positive: Node, **settings: Any) -> Node:
    """A node: tuning, with room for its chart and previews. `loader` has MODEL and VAE."""
    sockets = {"model": loader[0], "vae": loader[2], "frames": frames, "positive": positive[0]}
    return graph.add("TAVOneShotTune", **sockets, **settings, wide=420, room=CHART)


def apply_motion(graph: WorkflowGraph, model: Output, motion: Output) -> Output:
    """A node: the MODEL with the motion applied."""
    return graph.add("TAVApplyMotion", model=model, motion=motion)["model"]


def invert(
    graph: WorkflowGraph,
    model: Output,
    vae: Output,
    frames: Output,
    empty: Node,
    *,
    below: bool = False,
    **settings: Any,
) -> tuple[Node, Node]:
    """A group: the clip's latents, and their inversion."""
    graph.group("Invert", INVERT, below=below)
    encoded = graph.add("VAEEncode", pixels=frames, vae=vae)
    conditions = {"model": model, "conditioning": empty[0], "latent": encoded[0]}
    return encoded, graph.add("TAVDDIMInvert", **conditions, **settings, room=PREVIEW)


def invert_saved(graph: WorkflowGraph, model: Node, vae: Output, clip: Node, empty: Node) -> tuple[Output, Node, Node]:
    """Two groups: a saved motion, and an inversion. Returns the MODEL, the clip's latents and their inversion."""
    graph.group("Motion", TUNE)
    motion = graph.add("TAVLoadMotion", motion_name=MOTION)
    patched = apply_motion(graph, model[0], motion[0])
    return patched, *invert(graph, patched, vae, clip["frames"], empty, below=True)


def sample(
    graph: WorkflowGraph, model: Output, inverted: Node, positive: Output, negative: Output, **settings: Any
) -> Output:
    """A node: the latents of an edit."""
    start = {"latent": inverted[0], "trajectory": inverted[1]}
    return graph.add(
        "TAVSampleEdit", model=model, positive=positive, negative=negative, **start, **settings, room=PREVIEW
    )[0]


def edit(
    graph: WorkflowGraph,
    model: Output,
    vae: Output,
    inverted: Node,
    positive: Output,
    negative: Output,
    *,
    below: bool = True,
    **settings: Any,
) -> Output:
    """A group: the frames of an edit."""
    graph.group("Edit", EDIT, below=below)
    latent = sample(graph, model, inverted, positive, negative, **settings)
    return graph.add("VAEDecode", samples=latent, vae=vae)[0]


def compare(graph: WorkflowGraph, *videos: Output, labels: Iterable[str] = ("source", "edit")) -> Output:
    """A node: videos side by side."""
    shown = {f"video_{slot}": video for slot, video in zip("abcd", videos, strict=False)}
    named = {f"label_{slot}": label for slot, label in zip("abcd", labels, strict=False)}
    return graph.add("TAVCompareVideos", **shown, **named)["frames"]


def save(graph: WorkflowGraph, images: Output, fps: Output, name: str, *, title: str = "", **sound: Output) -> None:
    """Two nodes: frames as a video in the output folder, with room for the player."""
    video = graph.add("CreateVideo", images=images, fps=fps, **sound)
    prefix = f"tune_a_video/{name}"
    graph.add("SaveVideo", video=video[0], filename_prefix=prefix, title=title, wide=WIDTH, room=PLAYER)
