"""Makes the thumbnails of the example workflows, from frames that the demo model renders on a running ComfyUI.

    python scripts/make_thumbnails.py --url http://127.0.0.1:8188
    python scripts/make_thumbnails.py --names 21_lavie_demo

Needs Pillow. On a CPU it takes some minutes. The run is called "thumbnails".
"""

from __future__ import annotations

import argparse
import io
import json
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from thumbnail_graphs import (
    EDITS,
    MADE,
    SHAPES,
    SOURCE,
    cascade_graph,
    drawn_graph,
    first_graph,
    tuned_graph,
    zero_shot_graph,
)

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"
SIZE, TITLE, LABEL, GAP, QUALITY = (400, 300), 36, 18, 4, 90
PAPER, INK, PALE = (24, 26, 30), (240, 240, 240), (165, 172, 182)
# For each workflow, the title and rows of label and video. If a row needs a model that is not in the pack, a video of
# the same kind from the demo model replaces it.
PICTURES = {
    "01_quickstart": ("1  Quickstart", {SOURCE: "source", EDITS["beach"]: "beach"}),
    "02_tune_on_your_clip": ("2  Tune on your clip", {"the clip": "source", "the edit": "watercolor"}),
    "03_one_motion_four_prompts": ("3  One motion, four prompts", {prompt: key for key, prompt in EDITS.items()}),
    "04_dreambooth_swap": ("4  DreamBooth swap", {"the clip": "source", "its motion, another subject": "turtle"}),
    "05_resume_and_compare_steps": (
        "5  Resume, and compare steps",
        {"source": "source", "after 100 steps": "beach", "after 300 steps": "later"},
    ),
    "06_controlnet": ("6  ControlNet", {"source": "source", "edges of each frame": "edges", "edit": "beach"}),
    "07_stock_samplers_with_lora": ("7  Stock samplers, LoRA", {"source": "source", "SamplerCustomAdvanced": "stock"}),
    "08_low_memory": ("8  Low memory", {"fewer, smaller frames": "source", "edit": "tiled"}),
    "09_long_clip": ("9  Long clip", {"source": "source", "edit, by windows of 4 frames": "windowed"}),
    "10_local_edit": ("10  Local edit", {"edit of the whole": "elephant", "edit within the mask": "local"}),
    "11_keep_the_layout": (
        "11  Keep the layout",
        {"source": "source", "plain edit": "watercolor", "with Inject Source": "injected"},
    ),
    "12_trial.app": ("12  Trial, as a form", {SOURCE: "source", EDITS["beach"]: "beach"}),
    "13_text_to_video": ("13  Text to video", {f"{MADE}, the camera moves": "made", "no motion field": "still"}),
    "14_edges_to_video": ("14  Edges to video", {"edges of each frame": "edges", EDITS["beach"]: "beach"}),
    "15_instruct": ("15  Instruct", {"source": "source", '"make it a watercolor"': "watercolor"}),
    "16_lavie_text_to_video": ("16  LaVie: text to video", {SHAPES[0]: "base_0", SHAPES[1]: "base_1"}),
    "17_lavie_cascade": (
        "17  LaVie's cascade",
        {"16 frames": "base_0", "61 frames": "between", "four times as large": "large"},
    ),
    "19_draw_the_motion": ("19  Draw the motion", {"a picture, moved along a path": "crude", "the video": "drawn"}),
    "20_many_clips": (
        "20  Many clips, many prompts",
        {"each clip of a folder": "source", EDITS["beach"]: "beach", EDITS["elephant"]: "elephant"},
    ),
    "21_lavie_demo": ("21  LaVie, tiny and bundled", {SHAPES[0]: "between", "four times as large": "large"}),
}


def ask(url: str, body: Any = None) -> bytes:
    """The server's answer to a request."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as answer:
        return answer.read()


def render(url: str, graph: dict[str, Any]) -> dict[str, list[Image.Image]]:
    """Runs a graph and returns the frames of each SaveImage node.

    Raises:
        RuntimeError: the server refuses the graph, or a node fails.
    """
    answer = json.loads(ask(f"{url}/prompt", {"prompt": graph}))
    if answer.get("node_errors"):
        raise RuntimeError(json.dumps(answer["node_errors"], indent=1))
    while not (history := json.loads(ask(f"{url}/history/{answer['prompt_id']}"))):
        time.sleep(1)
    (entry,) = history.values()
    if entry["status"]["status_str"] != "success":
        raise RuntimeError(json.dumps(entry["status"], indent=1))
    saved = {key: shown["images"] for key, shown in entry["outputs"].items() if graph[key]["class_type"] == "SaveImage"}
    address = f"{url}/view?"
    return {
        key: [Image.open(io.BytesIO(ask(address + urllib.parse.urlencode(file)))).convert("RGB") for file in files]
        for key, files in saved.items()
    }


def draw(title: str, rows: dict[str, list[Image.Image]]) -> Image.Image:
    """A thumbnail: a title, and rows of evenly spaced frames, each row under its label."""
    width, height = SIZE
    sheet = Image.new("RGB", SIZE, PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((12, TITLE // 2), title, INK, ImageFont.load_default(20), anchor="lm")
    side = (height - TITLE) // len(rows) - LABEL - GAP
    for number, (label, frames) in enumerate(rows.items()):
        top = TITLE + number * (LABEL + side + GAP)
        count = min(len(frames), (width - 10) // (side + GAP))
        left = (width - count * (side + GAP) + GAP) // 2
        pen.text((left, top + LABEL // 2), label, PALE, ImageFont.load_default(13), anchor="lm")
        for place in range(count):
            frame = frames[round(place * (len(frames) - 1) / max(count - 1, 1))]
            sheet.paste(
                frame.resize((side, side), Image.Resampling.LANCZOS), (left + place * (side + GAP), top + LABEL)
            )
    return sheet


def main() -> None:
    """Renders the frames that are needed, and draws the thumbnails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="a running ComfyUI that has the pack")
    parser.add_argument("--names", nargs="+", choices=[*PICTURES], default=[*PICTURES], help="workflows (default: all)")
    args = parser.parse_args()
    wanted, videos = {key for name in args.names for key in PICTURES[name][1].values()}, {}
    longer = tuned_graph(300, "continue", {"later": EDITS["beach"]})
    for graph in (first_graph(), longer, zero_shot_graph(), drawn_graph(), cascade_graph()):
        if wanted & graph.keys():
            videos |= render(args.url, graph)
    for name in args.names:
        title, rows = PICTURES[name]
        path = WORKFLOWS / f"{name}.jpg"
        draw(title, {label: videos[key] for label, key in rows.items()}).save(path, quality=QUALITY)
        print(path)


if __name__ == "__main__":
    main()
