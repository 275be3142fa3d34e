"""The example workflows that run without any download, on the demo model and its clip."""

from __future__ import annotations

from typing import Any

from workflow_graph import Node, Output, WorkflowGraph
from workflow_parts import (
    DEMO_EDIT,
    DEMO_EDITED,
    DEMO_TUNING,
    EDIT,
    INVERT,
    LOAD,
    PREVIEW,
    TUNE,
    apply_motion,
    compare,
    decode,
    invert_clip,
    load_demo,
    prompt,
    sample,
    save,
    tune,
)

# Fewer steps than an edit needs at best, so that the first one is there soon. Their scores are in docs/tuning-steps.md.
QUICK_STEPS = 28


def tune_demo(
    graph: WorkflowGraph, demo: Node, source: Node, *, folded: bool = False, **settings: Any
) -> tuple[Node, Output]:
    """Two nodes: the tuning, and the demo's MODEL with the motion applied, which may be folded."""
    tuned = tune(graph, demo, demo["frames"], source, **{**DEMO_TUNING, **settings})
    return tuned, apply_motion(graph, demo["model"], tuned["motion"], folded=folded)


def invert_demo(graph: WorkflowGraph, model: Output, demo: Node, empty: Node, **look: Any) -> Node:
    """Two nodes: the inversion of the demo's clip."""
    steps = DEMO_EDIT["num_steps"]
    return invert_clip(graph, model, demo["vae"], demo["frames"], empty, num_steps=steps, **look)[1]


def quickstart(graph: WorkflowGraph) -> tuple[Node, Node]:
    """Demo model, demo clip: tune, invert, edit, compare. Returns the edited prompt and what saves the video."""
    graph.note(
        "Press **Run**. The first edit takes 1 to 3 minutes.",
        "Then change the **edited prompt** and run again: only the edit is rendered anew. Try *an elephant is running "
        "in the snow*.",
        "It knows twelve animals and machines, seven places and three styles: see the help of *Load Demo Model*. "
        "Nothing is downloaded.",
        "Your own clip: template 02.",
    )
    demo, source, empty = load_demo(graph)
    shown = prompt(graph, demo, DEMO_EDITED, "Prompt of the previews")
    graph.group("Tune", TUNE)
    previews = {"preview_every": 20, "preview_positive": shown[0], "preview_negative": empty[0]}
    about = {"num_steps": QUICK_STEPS, "run_name": "quickstart", "fps": demo["fps"]}
    model = tune_demo(graph, demo, source, **about, **previews)[1]
    graph.group("Invert", INVERT)
    inverted = invert_demo(graph, model, demo, empty, folded=False)
    graph.group("Edit", EDIT)
    edited = prompt(graph, demo, DEMO_EDITED, "Edited prompt")
    latent = sample(graph, model, inverted, edited[0], empty[0], **DEMO_EDIT)
    video = decode(graph, latent, demo["vae"])
    return edited, save(graph, compare(graph, demo["frames"], video), demo["fps"], "quickstart")


def trial(graph: WorkflowGraph) -> None:
    """The quickstart as a form: a prompt in, a video out."""
    edited, saved = quickstart(graph)
    graph.show_as_form(inputs=[(edited, "text", "edited prompt")], outputs=[saved])


def resume(graph: WorkflowGraph) -> None:
    """One run, tuned to 100 steps and then on to 300; an edit with each."""
    graph.note(
        "Both tuning nodes are **one run**: the second continues the first.",
        "They have the same *run_name*. The second waits for the first through its *fps*.",
        "A cancelled run continues when it is queued again.",
        "Raise the second *num_steps*: only the new steps are tuned.",
    )
    demo, source, empty = load_demo(graph)
    shown = prompt(graph, demo, DEMO_EDITED, "Prompt of the previews")
    previews = {"preview_positive": shown[0], "preview_negative": empty[0], "preview_every": 50}
    about = {**previews, "run_name": "resume_demo", "folded": True}
    graph.group("Tune to 100 steps", TUNE)
    tuned, model = tune_demo(graph, demo, source, **about, num_steps=100, resume="restart", fps=demo["fps"])
    chart = graph.add("CreateVideo", images=tuned["loss plot"], fps=demo["fps"], folded=True)
    waited = graph.add("GetVideoComponents", video=chart[0], folded=True)["fps"]
    graph.group("Tune to 300 steps", TUNE)
    models = [model, tune_demo(graph, demo, source, **about, num_steps=300, resume="continue", fps=waited)[1]]
    graph.group("Prompt", LOAD)
    edited, videos = prompt(graph, demo, DEMO_EDITED, "Edited prompt"), []
    for steps, each in zip((100, 300), models, strict=True):
        graph.group(f"Edit after {steps} steps", EDIT, below=True)
        inverted = invert_demo(graph, each, demo, empty)
        latent = sample(graph, each, inverted, edited[0], empty[0], **DEMO_EDIT, folded=True)
        videos.append(decode(graph, latent, demo["vae"]))
    both = compare(graph, demo["frames"], *videos, labels=("source", "100 steps", "300 steps"))
    save(graph, both, demo["fps"], "resume")


def local_edit(graph: WorkflowGraph) -> None:
    """The demo clip edited inside a mask, beside an edit of the whole frame."""
    graph.note(
        "Press **Run**: the bear becomes an elephant, and nothing else changes.",
        "The mask goes to *Sample Edit* and *Composite Edit*. For your own clip, paint one, or take one per frame "
        "from a segmentation node.",
        "Make it a little larger than what should change.",
        "*feather*: the soft edge, the same in both.",
    )
    demo, source, empty = load_demo(graph)
    edited = prompt(graph, demo, "an elephant is running in the snow", "Edited prompt")
    graph.group("Tune", TUNE)
    model = tune_demo(graph, demo, source, run_name="local_edit", preview_every=0, fps=demo["fps"])[1]
    graph.group("Invert", INVERT)
    inverted = invert_demo(graph, model, demo, empty)
    sockets = {"positive": edited[0], "negative": empty[0], **DEMO_EDIT}
    graph.group("Edit the whole", EDIT, below=True)
    whole = decode(graph, sample(graph, model, inverted, **sockets, folded=True), demo["vae"])
    graph.group("Mask", LOAD, below=True)
    mask = graph.add("GrowMask", mask=demo["mask"], expand=10)
    graph.add("MaskPreview", mask=mask[0], room=PREVIEW)
    graph.group("Edit within the mask", EDIT)
    inside = decode(graph, sample(graph, model, inverted, **sockets, mask=mask[0], feather=4), demo["vae"])
    masked = {"source": demo["frames"], "edited": inside, "mask": mask[0]}
    local = graph.add("TAVCompositeEdit", **masked, feather=4)
    both = compare(graph, demo["frames"], whole, local["frames"], labels=("source", "whole", "local"))
    save(graph, both, demo["fps"], "local_edit")


def inject_source(graph: WorkflowGraph) -> None:
    """A plain edit of the demo clip, and one that keeps the layout."""
    graph.note(
        "Press **Run**: the same edit twice, once with **Inject Source**.",
        "*attention*, *features*: for which share of the steps the edit uses the clip's own.",
        "For edits of colour, material and style. If the edit should change a shape, lower both.",
        "*conditioning* is the prompt of *DDIM Invert*.",
    )
    demo, source, empty = load_demo(graph)
    edited = prompt(graph, demo, DEMO_EDITED, "Edited prompt")
    graph.group("Tune", TUNE)
    model = tune_demo(graph, demo, source, run_name="inject_demo", fps=demo["fps"])[1]
    graph.group("Invert", INVERT)
    inverted = invert_demo(graph, model, demo, empty)
    sockets = {"positive": edited[0], "negative": empty[0], **DEMO_EDIT}
    graph.group("Plain edit", EDIT, below=True)
    videos = [decode(graph, sample(graph, model, inverted, **sockets, folded=True), demo["vae"])]
    graph.group("Keep the layout", EDIT)
    about = {"trajectory": inverted["trajectory"], "conditioning": empty[0]}
    injected = graph.add("TAVInjectSource", model=model, **about)["model"]
    videos.append(decode(graph, sample(graph, injected, inverted, **sockets), demo["vae"]))
    both = compare(graph, demo["frames"], *videos, labels=("source", "plain", "layout kept"))
    save(graph, both, demo["fps"], "inject_source")
