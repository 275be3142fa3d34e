"""Makes the example workflows in `workflows/`, which ComfyUI lists as the pack's templates.

    python scripts/make_workflows.py --url http://127.0.0.1:8188

Run it against the oldest ComfyUI that the pack supports: later versions append inputs and outputs to core's nodes.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

from demo_workflows import inject_source, local_edit, quickstart, resume, trial
from lavie_workflows import lavie_cascade, lavie_text_to_video
from own_workflows import (
    controlnet,
    dreambooth,
    four_prompts,
    long_clip,
    low_memory,
    many_clips,
    sdxl_dreambooth,
    stock_samplers,
    your_clip,
)
from untuned_workflows import draw_the_motion, edges_to_video, instruct, text_to_video
from workflow_graph import WorkflowGraph

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"


ALL: dict[str, Callable[[WorkflowGraph], object]] = {
    "01_quickstart": quickstart,
    "02_tune_on_your_clip": your_clip,
    "03_one_motion_four_prompts": four_prompts,
    "04_dreambooth_swap": dreambooth,
    "05_resume_and_compare_steps": resume,
    "06_controlnet": controlnet,
    "07_stock_samplers_with_lora": stock_samplers,
    "08_low_memory": low_memory,
    "09_long_clip": long_clip,
    "10_local_edit": local_edit,
    "11_keep_the_layout": inject_source,
    # ComfyUI lists names that end so as apps.
    "12_trial.app": trial,
    "13_text_to_video": text_to_video,
    "14_edges_to_video": edges_to_video,
    "15_instruct": instruct,
    "16_lavie_text_to_video": lavie_text_to_video,
    "17_lavie_cascade": lavie_cascade,
    "18_sdxl_dreambooth_swap": sdxl_dreambooth,
    "19_draw_the_motion": draw_the_motion,
    "20_many_clips": many_clips,
}


def main() -> None:
    """Writes every workflow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="a running ComfyUI that has the pack")
    with urllib.request.urlopen(f"{parser.parse_args().url}/object_info") as answer:
        definitions = json.load(answer)
    WORKFLOWS.mkdir(exist_ok=True)
    for name, build in ALL.items():
        graph = WorkflowGraph(name, definitions)
        build(graph)
        (WORKFLOWS / f"{name}.json").write_text(json.dumps(graph.to_json(), indent=1) + "\n", encoding="utf-8")
        print(WORKFLOWS / f"{name}.json")


if __name__ == "__main__":
    main()
