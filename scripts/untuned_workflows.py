"""The example workflows in which nothing is tuned: videos from a prompt, from edges, and by an instruction."""

from __future__ import annotations

from workflow_graph import Node, Output, WorkflowGraph
from workflow_parts import (
    DEMO_EDIT,
    DEMO_SIZE,
    DEMO_SOURCE,
    DRAWING,
    EDIT,
    INVERT,
    LOAD,
    PIX2PIX,
    PREVIEW,
    RESULT,
    SAMPLED,
    TUNE,
    compare,
    decode,
    invert_clip,
    load_checkpoint,
    load_clip,
    load_edges,
    prompt,
    sample,
    save,
)


def text_to_video(graph: WorkflowGraph) -> None:
    """A video from a prompt, with nothing tuned; the stock sampler makes its second half."""
    graph.note(
        "A video from text alone: **nothing is tuned**. Press **Run**; it takes half a minute.",
        "*Motion Field* moves the camera; what it looks at moves the other way.",
        "Frames attend to the first one, so they show the same thing.",
        "With Stable Diffusion: load your checkpoint, 512x512, 50 steps, t0 0.88, t1 0.94, cfg 7.5.",
    )
    graph.group("Load", LOAD, below=True)
    demo = graph.add("TAVLoadDemoModel")
    shown, empty = prompt(graph, demo, "a robot is walking in the desert"), prompt(graph, demo, "", "Empty prompt")
    graph.group("Camera", INVERT)
    field = graph.add("TAVMotionField", move_x=5.0, move_y=2.0)
    space = graph.add("EmptyLatentImage", width=DEMO_SIZE, height=DEMO_SIZE, batch_size=8)
    graph.group("Start", TUNE)
    model = graph.add("TAVCrossFrameModel", model=demo["model"])["model"]
    prompts = {"model": model, "positive": shown[0], "negative": empty[0]}
    moments = {"start_seed": 7, "num_steps": 20, "cfg": 4.0, "t0": 0.6, "t1": 0.7}
    start = graph.add("TAVZeroShotStart", **prompts, **moments, latent=space[0], motion_field=field[0], room=PREVIEW)
    latent = second_half(graph, start, prompts, cfg=4.0)
    video = decode(graph, latent, demo["vae"])
    graph.group("Result", RESULT)
    save(graph, video, demo["fps"], "text_to_video")


def edges_to_video(graph: WorkflowGraph) -> None:
    """A ControlNet and a prompt: the clip's edges with other contents, and nothing tuned."""
    graph.note(
        "The clip gives its **edges** alone; the prompt says the rest. **Nothing is tuned**.",
        "The *Motion Field* stands still, so all frames begin alike; the edges move.",
        "For depth or pose, put such images in place of *Canny*'s, and their ControlNet.",
        "Frames attend to the first one. Does it drift? Take fewer frames.",
    )
    loader, empty = load_checkpoint(graph)
    shown = prompt(graph, loader, "an astronaut is skiing on the moon", "Prompt")
    clip = load_clip(graph)
    control, edges = load_edges(graph, clip["frames"])
    graph.group("Edges and camera", INVERT)
    space = graph.add("VAEEncode", pixels=edges[0], vae=loader[2], folded=True)
    sockets = {"positive": shown[0], "negative": empty[0], "control_net": control[0], "image": edges[0]}
    guided = graph.add("ControlNetApplyAdvanced", **sockets, strength=1.0)
    field = graph.add("TAVMotionField", move_x=0.0, move_y=0.0, folded=True)
    graph.group("Start", TUNE, below=True)
    model = graph.add("TAVCrossFrameModel", model=loader[0])["model"]
    prompts = {"model": model, "positive": guided["positive"], "negative": guided["negative"]}
    start = graph.add("TAVZeroShotStart", **prompts, latent=space[0], motion_field=field[0])
    latent = second_half(graph, start, prompts, cfg=7.5)
    video = decode(graph, latent, loader[2])
    both = compare(graph, clip["frames"], edges[0], video, labels=("source", "edges", "video"))
    save(graph, both, clip["fps"], "edges_to_video")


def second_half(graph: WorkflowGraph, start: Node, prompts: dict[str, Output], *, cfg: float) -> Output:
    """A group: core's sampler goes on from *Zero-Shot Start*. Returns the latents."""
    graph.group("Sample", EDIT)
    sampler = graph.add("KSamplerSelect", sampler_name="euler")
    given = {"sampler": sampler[0], "sigmas": start["sigmas"], "latent_image": start["latent"]}
    return graph.add("SamplerCustom", **prompts, **given, add_noise=False, cfg=cfg, room=SAMPLED)[0]


def instruct(graph: WorkflowGraph) -> None:
    """Video Instruct-Pix2Pix, on core's own nodes."""
    graph.note(
        "InstructPix2Pix does what the **instruction** says, frame by frame; *Cross-Frame Model* keeps the frames "
        "alike. **Nothing is tuned**.",
        "*cfg_conds*: how strongly it follows the instruction. *cfg_cond2_negative*: how much of the clip stays.",
        "The clip is seen by both prompts; the third of *Dual CFG Guider* sees nothing.",
    )
    loader, empty = load_checkpoint(graph, checkpoint=PIX2PIX)
    told = prompt(graph, loader, "make it snow", "Instruction")
    clip = load_clip(graph)
    graph.group("Instruct", TUNE)
    given = {"positive": told[0], "negative": empty[0], "vae": loader[2], "pixels": clip["frames"]}
    seen = graph.add("InstructPixToPixConditioning", **given)
    model = graph.add("TAVCrossFrameModel", model=loader[0])["model"]
    conds = {"cond1": seen["positive"], "cond2": seen["negative"], "negative": empty[0]}
    guider = graph.add("DualCFGGuider", model=model, **conds, cfg_conds=7.5, cfg_cond2_negative=1.5)
    noise = graph.add("RandomNoise", noise_seed=33, room=24)
    sampler = graph.add("KSamplerSelect", sampler_name="euler_ancestral")
    graph.group("Sample", EDIT)
    sigmas = graph.add("BasicScheduler", model=model, scheduler="normal", steps=50)
    sockets = {"noise": noise[0], "guider": guider[0], "sampler": sampler[0], "sigmas": sigmas[0]}
    latent = graph.add("SamplerCustomAdvanced", **sockets, latent_image=seen["latent"], room=SAMPLED + 40)[0]
    video = decode(graph, latent, loader[2])
    save(graph, compare(graph, clip["frames"], video), clip["fps"], "instruct")


def draw_the_motion(graph: WorkflowGraph) -> None:
    """A picture, a path that is drawn on it, and a video; nothing is tuned."""
    graph.note(
        "**Draw a path** on the picture in *Animate*: drag, or click points. Press **Run**: a picture becomes a video.",
        "The mask says what moves; *Animate* cuts it out, fills its place and moves it.",
        "Inverting that and sampling it again makes a video of it; nothing is tuned.",
        "Your picture: *Load Image* with a painted mask, your checkpoint, 50 steps, cfg 7.5.",
    )
    graph.group("Load", LOAD, below=True)
    demo = graph.add("TAVLoadDemoModel")
    shown, empty = prompt(graph, demo, DEMO_SOURCE, "Prompt"), prompt(graph, demo, "", "Empty prompt")
    graph.group("Draw", TUNE)
    moves = {"path": "[[0.3, 0.7], [0.45, 0.45], [0.7, 0.65]]", "num_frames": 8, "still": True}
    crude = graph.add("TAVAnimate", frames=demo["frames"], mask=demo["mask"], **moves, room=DRAWING)["frames"]
    graph.group("Invert", INVERT)
    model = graph.add("TAVCrossFrameModel", model=demo["model"], attention="sparse_causal")["model"]
    _, inverted = invert_clip(graph, model, demo["vae"], crude, empty, num_steps=DEMO_EDIT["num_steps"])
    graph.group("Sample", EDIT)
    video = decode(graph, sample(graph, model, inverted, shown[0], empty[0], **DEMO_EDIT), demo["vae"])
    both = compare(graph, crude, video, labels=("animation", "video"))
    save(graph, both, demo["fps"], "draw_the_motion")
