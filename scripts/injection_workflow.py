"""The example workflow of injection; make_workflows.py writes it with the others."""

from __future__ import annotations

from workflow_graph import WorkflowGraph
from workflow_parts import (
    DEMO_EDIT,
    DEMO_TUNING,
    INVERT,
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


def inject_source(graph: WorkflowGraph) -> None:
    """The demo clip edited plainly, and with its layout kept."""
    graph.note(
        "## 11 Keep the layout\n\n"
        "Press **Run**: the same edit twice, the second with **Inject Source**. There is nothing to download.\n\n"
        "- *attention*: how long the edit looks where the clip looks. *features*: how long it takes the clip's own. "
        "Both are shares of the steps.\n"
        "- For edits of colour, material and style. If the edit is to have another shape, lower both.\n"
        "- *conditioning* is the prompt that *DDIM Invert* had."
    )
    demo, source, empty, edited = load_demo(graph)
    graph.group("Tune", TUNE)
    motion = tune(graph, demo, demo["frames"], source, **DEMO_TUNING, run_name="inject_demo", fps=demo["fps"])
    model = apply_motion(graph, demo["model"], motion["motion"])
    _, inverted = invert(graph, model, demo["vae"], demo["frames"], empty, num_steps=20)
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
