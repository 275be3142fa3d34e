"""The example workflows with LaVie: a video from a prompt, its whole cascade, and the same with the bundled one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow_graph import Node, Output, WorkflowGraph
from workflow_parts import (
    EDIT,
    INVERT,
    LOAD,
    PREVIEW,
    RESULT,
    SAMPLED,
    TUNE,
    UPSCALER,
    decode,
    load_checkpoint,
    prompt,
    save,
)

# What LaVie was trained on, and its own settings.
SPACE = {"width": 512, "height": 320, "batch_size": 16}
SAMPLING = {"seed": 400, "steps": 50, "cfg": 7.5, "sampler_name": "ddpm", "scheduler": "ddim_uniform"}
BASE, INTERPOLATION, SUPER_RESOLUTION = "lavie_base.pt", "lavie_interpolation.pt", "lavie_vsr.pt"
FPS = 8.0
SHOWN = "a corgi is walking in the park at sunrise, oil painting style"
# The bundled one.
TINY = {kind: f"tiny_lavie_{kind}.safetensors" for kind in ("base", "interpolation", "super_resolution")}
TINY_SPACE = {"width": 96, "height": 96, "batch_size": 16}
TINY_SAMPLING = {"seed": 1, "steps": 30, "cfg": 5.0, "sampler_name": "ddim", "scheduler": "ddim_uniform"}
TINY_SHOWN = "a red star moving right on a blue background"


def lavie_text_to_video(graph: WorkflowGraph) -> None:
    """LaVie's base on the stock sampler."""
    graph.note(
        "LaVie: 16 frames from a **prompt**, on the stock sampler.",
        "Put *lavie_base.pt* into models/lavie. CLIP and VAE come from any Stable Diffusion 1.x checkpoint.",
        "More frames: raise *batch_size*, and put *Context Windows* behind *Load LaVie*.",
        "LoRAs of Stable Diffusion 1.x go behind *Load LaVie*, ControlNets behind the prompts.",
    )
    loader, empty = load_checkpoint(graph)
    shown = prompt(graph, loader, SHOWN, "Prompt")
    latent = sample_base(graph, shown, empty)
    video = decode(graph, latent, loader[2])
    graph.group("Result", RESULT)
    save(graph, video, FPS, "lavie")


def lavie_cascade(graph: WorkflowGraph) -> None:
    """LaVie's base, its interpolation and its super-resolution, one after the other."""
    graph.note(
        "LaVie's cascade: a **prompt**, 16 frames, 61 frames, four times the size.",
        "Put *lavie_base.pt*, *lavie_interpolation.pt* and *lavie_vsr.pt* into models/lavie.",
        "*Upscale Video* takes CLIP and VAE of the x4 upscaler.",
        "In place of the first 16 frames, an edit or any clip will do.",
    )
    loader, empty = load_checkpoint(graph)
    told = graph.add("TAVPrompts", prompts=SHOWN)[0]
    shown = prompt(graph, loader, told)
    latent = sample_base(graph, shown, empty)
    video = decode(graph, latent, loader[2])
    graph.group("Interpolate", INVERT)
    parts = {"clip": loader[1], "vae": loader[2], "prompt": told}
    between = graph.add("TAVInterpolateFrames", images=video, **parts, model_name=INTERPOLATION, fps=FPS, room=PREVIEW)
    graph.group("Upscale", EDIT)
    upscaler = graph.add("CheckpointLoaderSimple", ckpt_name=UPSCALER["name"], models=[UPSCALER])
    parts = {"clip": upscaler[1], "vae": upscaler[2], "prompt": told}
    large = graph.add("TAVUpscaleVideo", images=between["frames"], **parts, model_name=SUPER_RESOLUTION, room=PREVIEW)
    graph.group("Result", RESULT)
    save(graph, large["frames"], between["fps"], "lavie_cascade")


def lavie_demo(graph: WorkflowGraph) -> None:
    """The cascade with the small LaVie that comes with the pack."""
    graph.note(
        "LaVie's cascade with a tiny model that comes with the pack: nothing to download.",
        "It knows a circle, square, triangle and star in six colors. They move, though seldom where the prompt says. "
        "All its words are in the help of *Load Demo Cascade*.",
        "For LaVie itself, see templates 16 and 17.",
    )
    graph.group("Load", LOAD, below=True)
    parts = graph.add("TAVLoadDemoCascade")
    told = graph.add("TAVPrompts", prompts=TINY_SHOWN)[0]
    shown, empty = (graph.add("CLIPTextEncode", clip=parts["clip"], text=each, folded=True) for each in (told, ""))
    latent = sample_base(graph, shown, empty, file=TINY["base"], space=TINY_SPACE, sampling=TINY_SAMPLING)
    video = decode(graph, latent, parts["vae"])
    graph.group("Interpolate", INVERT)
    given = {"clip": parts["clip"], "prompt": told, "cfg": 1.0, "room": PREVIEW}
    interpolating = {"model_name": TINY["interpolation"], "vae": parts["vae"], "num_steps": 20, "fps": FPS}
    between = graph.add("TAVInterpolateFrames", images=video, **given, **interpolating)
    graph.group("Upscale", EDIT)
    upscaling = {"model_name": TINY["super_resolution"], "vae": parts["upscaler vae"], "num_steps": 10}
    large = graph.add("TAVUpscaleVideo", images=between["frames"], **given, **upscaling)
    graph.group("Result", RESULT)
    save(graph, large["frames"], between["fps"], "lavie_demo")


def sample_base(
    graph: WorkflowGraph,
    shown: Node,
    empty: Node,
    *,
    file: str = BASE,
    space: Mapping[str, int] = SPACE,
    sampling: Mapping[str, Any] = SAMPLING,
) -> Output:
    """A group: LaVie's base, and core's sampler on it. Returns the latents."""
    graph.group("LaVie", TUNE)
    model = graph.add("TAVLoadLaVie", model_name=file)["model"]
    latent = graph.add("EmptyLatentImage", **space)
    prompts = {"positive": shown[0], "negative": empty[0]}
    return graph.add("KSampler", model=model, **prompts, latent_image=latent[0], **sampling, room=SAMPLED)[0]
