"""The example workflows that run without any download, on the demo model and its clip."""

from __future__ import annotations

from typing import Any

from workflow_graph import Node, Output, WorkflowGraph
from workflow_parts import (
    DEMO_EDIT,
    DEMO_TUNING,
    INVERT,
    LOAD,
    PREVIEW,
    RESULT,
    TUNE,
    apply_motion,
    compare,
    edit,
    invert,
    load_demo,
    save,
    tune,
)


def tune_and_invert(
    graph: WorkflowGraph, demo: Node, source: Node, empty: Node, **settings: Any
) -> tuple[Output, Node]:
    """The demo's MODEL with the motion applied, and the inversion of its clip."""
    motion = tune(graph, demo, demo["frames"], source, **settings)
    model = apply_motion(graph, demo["model"], motion["motion"])
    _, inverted = invert(graph, model, demo["vae"], demo["frames"], empty, num_steps=20)
    return model, inverted


def quickstart(graph: WorkflowGraph) -> None:
    """Demo model, demo clip: tune, invert, edit, compare."""
    graph.note(
        "## 1 Quickstart\n\n"
        "Press **Run**. There is nothing to download. It takes a few minutes on a CPU, less on a GPU.\n\n"
        "- *One-Shot Tune* learns how the clip moves; watch its loss and its previews.\n"
        "- Then change the **edited prompt** and run again: the tuning is not repeated. The model knows circle, "
        "square, triangle and star, in red, green, blue, yellow, purple and white, on such backgrounds.\n"
        "- The video goes to `output/tune_a_video`, the motion to `models/tav_motion`.\n"
        "- For a clip and a checkpoint of your own, open workflow 2."
    )
    demo, source, empty, edited = load_demo(graph)
    graph.group("Tune", TUNE)
    previews = {"preview_every": 25, "preview_positive": edited[0], "preview_negative": empty[0]}
    about = {"run_name": "quickstart", "fps": demo["fps"]}
    model, inverted = tune_and_invert(graph, demo, source, empty, **DEMO_TUNING, **previews, **about)
    video = edit(graph, model, demo["vae"], inverted, edited[0], empty[0], **DEMO_EDIT)
    graph.group("Result", RESULT)
    save(graph, compare(graph, demo["frames"], video), demo["fps"], "quickstart")


def resume(graph: WorkflowGraph) -> None:
    """One run, tuned to 100 steps and then on to 300; an edit with each."""
    graph.note(
        "## 5 Resume, and compare steps\n\n"
        "The two tuning nodes are **one run**, because they have the same *run_name*. The first tunes 100 steps "
        "(*resume*: restart). The second continues this run to 300 steps (*resume*: continue).\n\n"
        "- It waits for the first edit through its *fps*, which comes from that video.\n"
        "- A cancelled run continues in the same way: queue it again.\n"
        "- Raise the second *num_steps* and run again: only the new steps are tuned.\n"
        "- More steps keep more of the clip, and change less of it.",
        size=(400, 420),
    )
    demo, source, empty, edited = load_demo(graph)
    fps, videos = demo["fps"], []
    for steps, mode in ((100, "restart"), (300, "continue")):
        graph.group(f"Tune to {steps} steps", TUNE)
        settings = {**DEMO_TUNING, "num_steps": steps, "preview_every": 50, "resume": mode, "run_name": "resume_demo"}
        previews = {"preview_positive": edited[0], "preview_negative": empty[0]}
        model, inverted = tune_and_invert(graph, demo, source, empty, **settings, **previews, fps=fps)
        videos.append(edit(graph, model, demo["vae"], inverted, edited[0], empty[0], **DEMO_EDIT))
        if mode == "restart":
            made = graph.add("CreateVideo", images=videos[0], fps=fps)
            fps = graph.add("GetVideoComponents", video=made[0], title="fps, when the first edit is done")["fps"]
    graph.group("Result", RESULT)
    both = compare(graph, demo["frames"], *videos, labels=("source", "100 steps", "300 steps"))
    save(graph, both, demo["fps"], "resume")


def local_edit(graph: WorkflowGraph) -> None:
    """The demo clip edited inside a mask, beside an edit of the whole frame."""
    graph.note(
        "## 10 Local edit\n\n"
        "Press **Run**: the demo's circle turns yellow, and nothing else changes. There is nothing to download.\n\n"
        "- The mask goes to both *Sample Edit* and *Composite Edit*. Here it is made from the red pixels; for your "
        "own clip, paint one, or take one per frame from a segmentation node.\n"
        "- Make it a little larger than the part that should change, with *Grow Mask*. To edit the background, put "
        "*Invert Mask* after it.\n"
        "- *feather* is the soft edge, the same in both. For some frames only, set *first_frame* and *last_frame* of "
        "**Composite Edit**; the mask may then be left out.\n"
        "- The second *Sample Edit* has no mask, to compare."
    )
    demo, source, empty, edited = load_demo(graph)
    graph.group("Mask", LOAD, below=True)
    red = graph.add("ImageToMask", image=demo["frames"], channel="red")
    close = graph.add("ThresholdMask", mask=red[0], value=0.55)
    mask = graph.add("GrowMask", mask=close[0], expand=4)
    graph.add("MaskPreview", mask=mask[0], room=PREVIEW)
    graph.group("Tune", TUNE)
    about = {"run_name": "local_edit", "preview_every": 0, "fps": demo["fps"]}
    model, inverted = tune_and_invert(graph, demo, source, empty, **DEMO_TUNING, **about)
    prompts = {"positive": edited[0], "negative": empty[0]}
    sockets = {"model": model, "vae": demo["vae"], "inverted": inverted, **prompts, **DEMO_EDIT}
    inside = edit(graph, **sockets, below=False, mask=mask[0], feather=4, title="Sample Edit: within the mask")
    masked = {"source": demo["frames"], "edited": inside, "mask": mask[0]}
    local = graph.add("TAVCompositeEdit", **masked, feather=4)
    whole = edit(graph, **sockets, title="Sample Edit: whole")
    graph.group("Result", RESULT)
    both = compare(graph, demo["frames"], whole, local["frames"], labels=("source", "whole", "local"))
    save(graph, both, demo["fps"], "local_edit")


def inject_source(graph: WorkflowGraph) -> None:
    """A plain edit of the demo clip, and one that keeps the layout."""
    graph.note(
        "## 11 Keep the layout\n\n"
        "Press **Run**: the same edit twice, the second with **Inject Source**. There is nothing to download.\n\n"
        "- *attention*: how long the edit uses the clip's attention. *features*: how long it uses the clip's "
        "features. Both are shares of the steps.\n"
        "- Use it for edits of colour, material and style. If the edit should change a shape, lower both.\n"
        "- *conditioning* must be the prompt that *DDIM Invert* used."
    )
    demo, source, empty, edited = load_demo(graph)
    graph.group("Tune", TUNE)
    about = {"run_name": "inject_demo", "fps": demo["fps"]}
    model, inverted = tune_and_invert(graph, demo, source, empty, **DEMO_TUNING, **about)
    graph.group("Source", INVERT, below=True)
    sockets = {"trajectory": inverted["trajectory"], "conditioning": empty[0]}
    injected = graph.add("TAVInjectSource", model=model, **sockets)["model"]
    videos = [
        edit(graph, each, demo["vae"], inverted, edited[0], empty[0], below=bool(below), **DEMO_EDIT)
        for below, each in enumerate((model, injected))
    ]
    graph.group("Result", RESULT)
    both = compare(graph, demo["frames"], *videos, labels=("source", "plain", "layout kept"))
    save(graph, both, demo["fps"], "inject_source")
