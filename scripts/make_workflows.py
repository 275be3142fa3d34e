"""Makes the example workflows in `workflows/`, which ComfyUI lists as the pack's templates.

    python scripts/make_workflows.py --url http://127.0.0.1:8188

Run it against the oldest ComfyUI that the pack supports: later versions append inputs and outputs to core's nodes.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo_workflows import inject_source, local_edit, quickstart, resume, trial
from lavie_workflows import lavie_cascade, lavie_demo, lavie_text_to_video
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
    "21_lavie_demo": lavie_demo,
}


def main() -> None:
    """Writes every workflow, or says which would change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="a running ComfyUI that has the pack")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    args = parser.parse_args()
    with urllib.request.urlopen(f"{args.url}/object_info") as answer:
        definitions = json.load(answer)
    made = {WORKFLOWS / f"{name}.json": make(name, definitions) for name in ALL}
    changed = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if args.check and changed:
        sys.exit("These differ from what this script makes: " + ", ".join(path.name for path in changed))
    for path in changed:
        path.write_text(made[path], encoding="utf-8")
        print(path)


def make(name: str, definitions: dict[str, Any]) -> str:
    """The text of a workflow's file, from a server's answer at `/object_info`."""
    graph = WorkflowGraph(name, definitions)
    ALL[name](graph)
    return json.dumps(graph.to_json(), indent=1) + "\n"


if __name__ == "__main__":
    main()
