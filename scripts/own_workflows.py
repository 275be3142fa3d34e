"""The example workflows for the user's own clip and checkpoint."""

from __future__ import annotations

from typing import Any

from workflow_graph import Node, Output, WorkflowGraph
from workflow_parts import (
    CHECKPOINT,
    EDIT,
    LOAD,
    PREVIEW,
    RESULT,
    SD15,
    SDXL,
    SOURCE,
    TUNE,
    apply_motion,
    compare,
    decode,
    invert,
    invert_saved,
    load_checkpoint,
    load_clip,
    load_edges,
    prompt,
    sample,
    save,
    side_by_side,
    tune,
)

# Where Tune Options, a tall node, stands in the column of the note.
LOW_NOTE = 184
# For five points of two lines: Nodes 2.0 in ComfyUI 0.8 draws a note as high as its text.
HIGH_NOTE = 285
# A title of its own for the edit would make the column too tall.
TOGETHER = {"title": "Invert and edit", "below": False}
# Room for what a node says of a run, in some lines.
TOLD = 60


def your_clip(graph: WorkflowGraph) -> None:
    """The user's own clip and checkpoint, with the paper's settings."""
    graph.note(
        "Upload a video in **Load Clip**, choose a Stable Diffusion 1.x or 2.x checkpoint.",
        "*Prompt of the clip*: what it shows. *Edited prompt*: what you want.",
        "Out of memory? Template 08.",
        "Another clip needs another *run_name*, or *resume* at restart.",
    )
    text = "a panda is skiing on the beach"
    loader, source, empty = load_checkpoint(graph, source=SOURCE)
    shown = prompt(graph, loader, text, "Prompt of the previews")
    clip = load_clip(graph)
    graph.group("Tune", TUNE)
    about = {"preview_positive": shown[0], "preview_negative": empty[0], "fps": clip["fps"]}
    motion = tune(graph, loader, clip["frames"], source, **about)
    model = apply_motion(graph, loader[0], motion["motion"])
    _, inverted = invert(graph, model, loader[2], clip["frames"], empty, **TOGETHER)
    video = edit(graph, loader, model, inverted, text, empty)
    both = compare(graph, clip["frames"], video, folded=True)
    save(graph, video, clip["fps"], "edit", audio=clip["audio"])
    save(graph, both, clip["fps"], "comparison")


def edit(graph: WorkflowGraph, loader: Node, model: Output, inverted: Node, text: str, empty: Node) -> Output:
    """The edited prompt, and the frames of its edit, in the group of the inversion."""
    edited = prompt(graph, loader, text, "Edited prompt")
    return decode(graph, sample(graph, model, inverted, edited[0], empty[0]), loader[2])


def four_prompts(graph: WorkflowGraph) -> None:
    """A saved motion and one inversion, for several edits."""
    graph.note(
        "Write one prompt per line: what follows **Prompts** runs once for each.",
        "Tune once (template 02), then choose the motion in **Load Motion**; press R if it is not listed yet.",
        "**Load Clip**: as it was tuned. It is inverted once for all prompts.",
    )
    lines = (
        "an astronaut is skiing on the moon",
        "a panda is skiing",
        "a man is skiing on the beach at sunset",
        "a man is skiing, oil painting",
    )
    loader, empty = load_checkpoint(graph)
    clip = load_clip(graph)
    model, _, inverted = invert_saved(graph, loader, loader[2], clip, empty)
    graph.group("Edit", EDIT)
    prompts = graph.add("TAVPrompts", prompts="\n".join(lines), room=40)
    encoded = prompt(graph, loader, prompts[0])
    video = decode(graph, sample(graph, model, inverted, encoded[0], empty[0]), loader[2])
    both = compare(graph, clip["frames"], video, labels=("source", prompts[0]))
    save(graph, both, clip["fps"], "four_prompts")


def dreambooth(graph: WorkflowGraph) -> None:
    """A motion that was tuned on one checkpoint, applied to another one of the same family."""
    graph.note(
        "A motion also fits other checkpoints of its family.",
        "**Load Motion**: tuned on checkpoint A (template 02).",
        "**Load Checkpoint**: B, a DreamBooth model of your dog, say.",
        "*Edited prompt*: in B's words, such as *sks dog*.",
        "Too little of B? Lower *strength* to 0.8.",
    )
    loader, empty = load_checkpoint(graph, checkpoint="my_dreambooth.safetensors")
    clip = load_clip(graph)
    model, _, inverted = invert_saved(graph, loader, loader[2], clip, empty)
    graph.group("Edit", EDIT)
    edited = prompt(graph, loader, "sks dog is skiing", "Edited prompt")
    video = decode(graph, sample(graph, model, inverted, edited[0], empty[0]), loader[2])
    save(graph, compare(graph, clip["frames"], video), clip["fps"], "dreambooth")


def sdxl_dreambooth(graph: WorkflowGraph) -> None:
    """A motion tuned on SDXL's base, applied to a fine-tune of SDXL."""
    graph.note(
        "SDXL: a motion tuned on A renders on **B**.",
        "**A**: SDXL's base. **B**: your DreamBooth model, or any fine-tune of SDXL.",
        "*width*, *height*: 768 or 1024, never below 512. *cfg*: 5 to 7.5.",
        "24 frames of 768x768 take 10 to 16 GB, of 1024x1024 13 to 23.",
        "SDXL is told the clip's size; *CLIP Text Encode (SDXL)* tells another.",
        "Tuned already? **Load Motion** in place of *One-Shot Tune*.",
        height=HIGH_NOTE,
    )
    graph.group("Load", LOAD, below=True)
    base = graph.add("CheckpointLoaderSimple", ckpt_name=SDXL["name"], models=[SDXL], title="A: tuned on")
    swapped = graph.add("CheckpointLoaderSimple", ckpt_name="my_sdxl_dreambooth.safetensors", title="B: rendered on")
    source = prompt(graph, base, SOURCE, "Prompt of the clip")
    empty = prompt(graph, swapped, "", "Empty prompt")
    clip = load_clip(graph, width=768, height=768)
    graph.group("Tune", TUNE)
    settings = {"preview_every": 0, "run_name": "my_sdxl_motion", "fps": clip["fps"]}
    motion = tune(graph, base, clip["frames"], source, **settings)
    model = apply_motion(graph, swapped[0], motion["motion"])
    _, inverted = invert(graph, model, swapped[2], clip["frames"], empty, **TOGETHER)
    edited = prompt(graph, swapped, "sks dog is skiing", "Edited prompt")
    latent = sample(graph, model, inverted, edited[0], empty[0], cfg=6.0)
    video = decode(graph, latent, swapped[2])
    save(graph, compare(graph, clip["frames"], video), clip["fps"], "sdxl_dreambooth")


def controlnet(graph: WorkflowGraph) -> None:
    """A ControlNet on the tuned model, with an edge image for each frame."""
    graph.note(
        "The edges of each frame hold the shapes, the tuned model holds the motion.",
        "For another ControlNet than canny, put the images that it needs in place of *Canny*'s.",
        "Too much of the source's shape? Lower *strength* or *end_percent*.",
    )
    loader, empty = load_checkpoint(graph)
    edited = prompt(graph, loader, "a robot is skiing, chrome armour", "Edited prompt")
    clip = load_clip(graph)
    control, edges = load_edges(graph, clip["frames"])
    model, _, inverted = invert_saved(graph, loader, loader[2], clip, empty)
    graph.group("Edit", EDIT)
    sockets = {"positive": edited[0], "negative": empty[0], "control_net": control[0], "image": edges[0]}
    guided = graph.add("ControlNetApplyAdvanced", **sockets, strength=0.7, end_percent=0.8)
    video = decode(graph, sample(graph, model, inverted, guided["positive"], guided["negative"]), loader[2])
    both = compare(graph, clip["frames"], edges[0], video, labels=("source", "edges", "edit"))
    save(graph, both, clip["fps"], "controlnet")


def stock_samplers(graph: WorkflowGraph) -> None:
    """ComfyUI's own sampler nodes, with a LoRA."""
    graph.note(
        "*Apply Motion*'s MODEL works with ComfyUI's samplers and LoRAs.",
        "**Load LoRA**: before *Apply Motion*.",
        "*DDIM Invert* gives NOISE and SIGMAS, so that *SamplerCustomAdvanced* starts at the inverted latent.",
        "*ddim* and *euler* keep most of the clip.",
    )
    model, empty, loader = load_checkpoint(graph, lora="my_lora.safetensors")
    edited = prompt(graph, model, "a man is skiing, in the style of my lora", "Edited prompt")
    clip = load_clip(graph)
    tuned, encoded, inverted = invert_saved(graph, model, loader[2], clip, empty)
    graph.group("Edit", EDIT)
    guider = graph.add("CFGGuider", model=tuned, positive=edited[0], negative=empty[0], cfg=12.5)
    sampler = graph.add("KSamplerSelect", sampler_name="ddim")
    sockets = {"guider": guider[0], "sampler": sampler[0], "latent_image": encoded[0]}
    start = {"noise": inverted["noise"], "sigmas": inverted["sigmas"]}
    video = decode(graph, graph.add("SamplerCustomAdvanced", **start, **sockets, room=PREVIEW)[0], loader[2])
    save(graph, compare(graph, clip["frames"], video), clip["fps"], "stock_samplers")


def low_memory(graph: WorkflowGraph) -> None:
    """For small GPUs: fewer, smaller frames, and every setting that saves memory."""
    graph.note(
        "Out of memory? Lower *num_frames*.",
        "*memory* low: half precision, no previews.",
        "**Tune Options**: *temporal only* needs even less, and learns less.",
        "**VAE Decode (Tiled)**: smaller tiles need less.",
        "An older ComfyUI: start it with **--lowvram**.",
        height=LOW_NOTE,
    )
    loader, options = load_with_options(graph)
    clip = load_clip(graph, num_frames=12, width=384, height=384)
    settings = {"memory": "low", "preview_every": 0, "run_name": "my_small_motion", "options": options[0]}
    model, empty = tune_own(graph, loader, clip, settings)
    _, inverted = invert(graph, model, loader[2], clip["frames"], empty, below=False)
    graph.group("Edit", EDIT, below=True)
    edited = prompt(graph, loader, "a panda is skiing", "Edited prompt")
    latent = sample(graph, model, inverted, edited[0], empty[0])
    graph.group("Result", RESULT)
    video = graph.add("VAEDecodeTiled", samples=latent, vae=loader[2], tile_size=256, overlap=64)
    save(graph, side_by_side(graph, clip["frames"], video[0]), clip["fps"], "low_memory")


def load_with_options(graph: WorkflowGraph, **options: Any) -> tuple[Node, Node]:
    """A group: a checkpoint, and options of the tuning."""
    graph.group("Load", LOAD, below=True)
    loader = graph.add("CheckpointLoaderSimple", ckpt_name=CHECKPOINT, models=[SD15])
    return loader, graph.add("TAVTuneOptions", **options)


def tune_own(
    graph: WorkflowGraph, loader: Node, clip: Node, settings: dict[str, Any], *, folded: bool = False
) -> tuple[Output, Node]:
    """The prompts below the clip, and a group: tuning. Returns the MODEL with the motion, and the empty prompt."""
    source, empty = prompt(graph, loader, SOURCE, "Prompt of the clip"), prompt(graph, loader, "", "Empty prompt")
    graph.group("Tune", TUNE)
    motion = tune(graph, loader, clip["frames"], source, **settings, fps=clip["fps"])
    return apply_motion(graph, loader[0], motion["motion"], folded=folded), empty


def long_clip(graph: WorkflowGraph) -> None:
    """A clip that does not fit into memory as a whole: tuned, inverted and edited in windows."""
    graph.note(
        "Time grows with the number of frames, memory does not.",
        "**Tune Options**, *window*: each step learns from 16 neighbouring frames. More frames need more *num_steps*.",
        "**Context Windows**: *length* is best near that window; if you see edges, raise *overlap*.",
        height=LOW_NOTE,
    )
    loader, options = load_with_options(graph, window=16)
    clip = load_clip(graph, num_frames=64)
    settings = {"num_steps": 1000, "preview_every": 200, "run_name": "my_long_motion", "options": options[0]}
    model, empty = tune_own(graph, loader, clip, settings, folded=True)
    model = graph.add("TAVContextWindows", model=model)["model"]
    _, inverted = invert(graph, model, loader[2], clip["frames"], empty, **TOGETHER)
    video = edit(graph, loader, model, inverted, "a panda is skiing", empty)
    save(graph, compare(graph, clip["frames"], video), clip["fps"], "long_clip")


def many_clips(graph: WorkflowGraph) -> None:
    """A folder of clips, each under a list of prompts, and one report."""
    graph.note(
        "Every clip of a folder under every prompt.",
        "Copy a folder of clips into *input*, press R, choose it in **Load Clips**.",
        "Beside ski.mp4, write what it shows into ski.txt.",
        "Cancel when you like: the next Run goes on. One more prompt renders that alone.",
        "**Batch: Report** says where its page is.",
    )
    graph.group("Load", LOAD, below=True)
    loader = graph.add("CheckpointLoaderSimple", ckpt_name=CHECKPOINT, models=[SD15])
    graph.group("Clips", LOAD)
    clips = graph.add("TAVLoadClips", folder="my_clips", prompt=SOURCE, room=TOLD)
    graph.group("Edit", EDIT)
    lines = ("an astronaut is skiing on the moon", "a panda is skiing", "a man is skiing, oil painting")
    sockets = {"model": loader[0], "clip": loader[1], "vae": loader[2], "clips": clips["clips"]}
    edits = graph.add("TAVEditClips", **sockets, prompts="\n".join(lines), room=PREVIEW + TOLD)
    graph.group("Result", RESULT)
    graph.add("TAVBatchReport", edits=edits["edits"], room=TOLD)
