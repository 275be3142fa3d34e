"""The example workflows for the user's own clip and checkpoint."""

from __future__ import annotations

from workflow_graph import WorkflowGraph
from workflow_parts import (
    CANNY,
    CONTROLNET,
    EDIT,
    RESULT,
    SOURCE,
    TUNE,
    apply_motion,
    compare,
    edit,
    invert,
    invert_saved,
    load_own,
    prompt,
    sample,
    save,
    tune,
)


def your_clip(graph: WorkflowGraph) -> None:
    """The user's own clip and checkpoint, with the paper's settings."""
    graph.note(
        "## 2 Tune on your clip\n\n"
        "- **Load Clip**: upload a video. 24 frames of 512x512 are taken; raise *stride* to span more time.\n"
        "- **Load Checkpoint**: any Stable Diffusion 1.x or 2.x model.\n"
        "- Say what the clip shows in *prompt of the clip*, and what you want in *edited prompt*. *Prompt of the "
        "previews* is what you see while it tunes.\n"
        "- The settings are the paper's. If memory runs out, see workflow 8.\n"
        "- Another clip needs another *run_name*, or *resume* at restart.",
    )
    texts = "a panda is skiing on the beach", SOURCE
    loader, clip, source, empty, edited = load_own(graph, texts[0], source=texts[1])
    shown = prompt(graph, loader, texts[0], "Prompt of the previews")
    graph.group("Tune", TUNE)
    about = {"preview_positive": shown[0], "preview_negative": empty[0], "fps": clip["fps"]}
    motion = tune(graph, loader, clip["frames"], source, **about)
    model = apply_motion(graph, loader[0], motion["motion"])
    _, inverted = invert(graph, model, loader[2], clip["frames"], empty)
    video = edit(graph, model, loader[2], inverted, edited[0], empty[0])
    graph.group("Result", RESULT)
    save(graph, video, clip["fps"], "edit", title="Save Video: the edit, with the clip's sound", audio=clip["audio"])
    graph.column()
    both = compare(graph, clip["frames"], video)
    save(graph, both, clip["fps"], "comparison", title="Save Video: side by side")


def four_prompts(graph: WorkflowGraph) -> None:
    """A saved motion and one inversion, for four edits."""
    graph.note(
        "## 3 One motion, four prompts\n\n"
        "Tune once (workflow 2), then render as often as you like.\n\n"
        "- **Load Motion**: choose the motion; press R if it is not listed yet.\n"
        "- **Load Clip**: the clip, with the settings that it was tuned with.\n"
        "- Write four prompts. The clip is inverted once for all of them.\n"
        "- A prompt that you do not change costs nothing in the next run."
    )
    edits = {
        "astronaut": "an astronaut is skiing on the moon",
        "panda": "a panda is skiing",
        "sunset": "a man is skiing on the beach at sunset",
        "painting": "a man is skiing, oil painting",
    }
    loader, clip, empty, *prompts = load_own(graph, *edits.values())
    model, _, inverted = invert_saved(graph, loader, loader[2], clip, empty)
    graph.group("Edit", EDIT)
    videos = []
    for label, positive in zip(edits, prompts, strict=True):
        if len(videos) == 2:
            graph.column()
        latent = sample(graph, model, inverted, positive[0], empty[0], title=f"Sample Edit: {label}")
        videos.append(graph.add("VAEDecode", samples=latent, vae=loader[2])[0])
    graph.group("Result", RESULT)
    save(graph, compare(graph, *videos, labels=edits), clip["fps"], "four_prompts")


def dreambooth(graph: WorkflowGraph) -> None:
    """A motion that was tuned on one checkpoint, applied to another one of the same family."""
    graph.note(
        "## 4 DreamBooth swap\n\n"
        "A motion is stored as differences, so it also fits other checkpoints of the same family.\n\n"
        "- **Load Motion**: a motion that was tuned on checkpoint A (workflow 2).\n"
        "- **Load Checkpoint B**: a DreamBooth model of your dog, say, or of a style. It gives CLIP and VAE too.\n"
        "- In the *edited prompt* use the words that B was trained on, such as `sks dog`.\n"
        "- If too little of B shows, lower *strength* in Apply Motion to 0.8."
    )
    own = {"checkpoint": "my_dreambooth.safetensors", "title": "Load Checkpoint B"}
    loader, clip, empty, edited = load_own(graph, "sks dog is skiing", **own)
    model, _, inverted = invert_saved(graph, loader, loader[2], clip, empty)
    video = edit(graph, model, loader[2], inverted, edited[0], empty[0], below=False)
    graph.group("Result", RESULT)
    save(graph, compare(graph, clip["frames"], video), clip["fps"], "dreambooth")


def controlnet(graph: WorkflowGraph) -> None:
    """A ControlNet on the tuned model, with an edge image for each frame."""
    graph.note(
        "## 6 ControlNet on the tuned model\n\n"
        "The edges of each frame hold the shapes; the tuned model and the inverted latent hold the motion.\n\n"
        "- **Load ControlNet Model**: one for your checkpoint's family. For another kind than canny, put the images "
        "that it needs in place of *Canny*'s, one per frame.\n"
        "- If the edit keeps too much of the source's shape, lower *strength* or *end_percent*.\n"
        "- The inversion does not use the ControlNet."
    )
    loader, clip, empty, edited = load_own(graph, "a robot is skiing, chrome armour")
    model, _, inverted = invert_saved(graph, loader, loader[2], clip, empty)
    graph.group("ControlNet", EDIT)
    control = graph.add("ControlNetLoader", control_net_name=CONTROLNET, models=[CANNY], wide=360)
    edges = graph.add("Canny", image=clip["frames"], low_threshold=0.2, high_threshold=0.5, wide=360)
    prompts = {"positive": edited[0], "negative": empty[0]}
    sockets = {**prompts, "control_net": control[0], "image": edges[0]}
    guided = graph.add("ControlNetApplyAdvanced", **sockets, strength=0.7, end_percent=0.8, wide=360)
    video = edit(graph, model, loader[2], inverted, guided["positive"], guided["negative"])
    graph.group("Result", RESULT)
    both = compare(graph, clip["frames"], edges[0], video, labels=("source", "edges", "edit"))
    save(graph, both, clip["fps"], "controlnet")


def stock_samplers(graph: WorkflowGraph) -> None:
    """ComfyUI's own sampler nodes, with a LoRA."""
    graph.note(
        "## 7 Stock samplers, with a LoRA\n\n"
        "The MODEL of *Apply Motion* works with all of ComfyUI's samplers.\n\n"
        "- **Load LoRA**: before *Apply Motion*, so that inversion and edit both have it.\n"
        "- *DDIM Invert* gives NOISE and SIGMAS: *SamplerCustomAdvanced* then starts at the inverted latent.\n"
        "- In *KSamplerSelect*, `ddim` and `euler` keep most of the clip.\n"
        "- Steps are set in *DDIM Invert*, guidance in *CFGGuider*."
    )
    text = "a man is skiing, in the style of my lora"
    model, clip, empty, edited, loader = load_own(graph, text, lora="my_lora.safetensors")
    tuned, encoded, inverted = invert_saved(graph, model, loader[2], clip, empty)
    graph.group("Edit", EDIT)
    guider = graph.add("CFGGuider", model=tuned, positive=edited[0], negative=empty[0], cfg=12.5)
    sampler = graph.add("KSamplerSelect", sampler_name="ddim")
    sockets = {"guider": guider[0], "sampler": sampler[0], "latent_image": encoded[0]}
    sampled = graph.add("SamplerCustomAdvanced", noise=inverted["noise"], sigmas=inverted["sigmas"], **sockets)
    video = graph.add("VAEDecode", samples=sampled[0], vae=loader[2])
    graph.group("Result", RESULT)
    save(graph, compare(graph, clip["frames"], video[0]), clip["fps"], "stock_samplers")


def low_memory(graph: WorkflowGraph) -> None:
    """For small GPUs: fewer, smaller frames, and every setting that saves memory."""
    graph.note(
        "## 8 Low memory\n\n"
        "- **Load Clip** takes 12 frames of 384x384. If memory still runs out, lower *num_frames* first.\n"
        "- **One-Shot Tune**, *memory* low: frozen weights in half precision, activations recomputed, no previews.\n"
        "- **Tune Options**: with *modules* at `temporal only`, tuning needs even less memory, but learns less of the "
        "clip.\n"
        "- **VAE Decode (Tiled)** decodes in pieces of *tile_size*.\n"
        "- Starting ComfyUI with `--lowvram` helps while rendering."
    )
    small = {"num_frames": 12, "width": 384, "height": 384}
    loader, clip, source, empty, edited = load_own(graph, "a panda is skiing", source=SOURCE, **small)
    graph.group("Tune", TUNE)
    options = graph.add("TAVTuneOptions")
    settings = {"memory": "low", "preview_every": 0, "run_name": "my_small_motion", "options": options[0]}
    graph.column()
    motion = tune(graph, loader, clip["frames"], source, **settings, fps=clip["fps"])
    model = apply_motion(graph, loader[0], motion["motion"])
    _, inverted = invert(graph, model, loader[2], clip["frames"], empty)
    graph.group("Edit", EDIT, below=True)
    latent = sample(graph, model, inverted, edited[0], empty[0])
    video = graph.add("VAEDecodeTiled", samples=latent, vae=loader[2], tile_size=256, overlap=64)
    graph.group("Result", RESULT)
    save(graph, compare(graph, clip["frames"], video[0]), clip["fps"], "low_memory")


def long_clip(graph: WorkflowGraph) -> None:
    """A clip that does not fit into memory as a whole: tuned, inverted and edited in windows."""
    graph.note(
        "## 9 Long clip\n\n"
        "- **Load Clip** takes 64 frames. Time grows with their number, memory does not.\n"
        "- **Tune Options**, *window*: each step learns from 16 neighbouring frames. A clip of more frames needs more "
        "*num_steps*.\n"
        "- **Context Windows**: inversion and edit run window by window. Keep *length* near the window of tuning; if "
        "you see the edges of windows, raise *overlap*.\n"
        "- Its MODEL goes to both *DDIM Invert* and *Sample Edit*."
    )
    loader, clip, source, empty, edited = load_own(graph, "a panda is skiing", source=SOURCE, num_frames=64)
    graph.group("Tune", TUNE)
    options = graph.add("TAVTuneOptions", window=16)
    settings = {"num_steps": 1000, "preview_every": 200, "run_name": "my_long_motion", "options": options[0]}
    graph.column()
    motion = tune(graph, loader, clip["frames"], source, **settings, fps=clip["fps"])
    model = apply_motion(graph, loader[0], motion["motion"])
    model = graph.add("TAVContextWindows", model=model)["model"]
    _, inverted = invert(graph, model, loader[2], clip["frames"], empty)
    video = edit(graph, model, loader[2], inverted, edited[0], empty[0])
    graph.group("Result", RESULT)
    save(graph, compare(graph, clip["frames"], video), clip["fps"], "long_clip")
