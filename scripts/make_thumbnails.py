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

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"
SIZE, TITLE, LABEL, GAP, QUALITY = (400, 300), 36, 18, 4, 90
PAPER, INK, PALE = (24, 26, 30), (240, 240, 240), (165, 172, 182)
SOURCE, MADE = "a bear is running in the snow", "a robot is walking in the desert"
INJECTION = {"attention": 0.5, "features": 0.8, "first_layer": 4}
EDITS = {
    "beach": "a bear is running on the beach",
    "elephant": "an elephant is running in the snow",
    "watercolor": "a bear is running in the snow, watercolor style",
    "turtle": "a turtle is walking in the desert",
}
# What the tiny LaVie draws.
SHAPES = ("a red star moving right on a blue background", "a yellow square moving up on a black background")
TINY = "tiny_lavie_{}.safetensors"
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
    "21_lavie_demo": ("21  LaVie, tiny and bundled", {SHAPES[0]: "between", "four times as large": "large"}),
    "19_draw_the_motion": ("19  Draw the motion", {"a picture, moved along a path": "crude", "the video": "drawn"}),
    "20_many_clips": (
        "20  Many clips, many prompts",
        {"each clip of a folder": "source", EDITS["beach"]: "beach", EDITS["elephant"]: "elephant"},
    ),
}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node in API format."""
    return {"class_type": kind, "inputs": inputs}


def text(prompt: str) -> dict[str, Any]:
    return node("CLIPTextEncode", clip=["demo", 1], text=prompt)


def tuned_graph(steps: int, resume: str, edits: dict[str, str]) -> dict[str, Any]:
    """A graph that tunes the demo model up to some steps, and renders edits."""
    sockets = {"model": ["demo", 0], "vae": ["demo", 2], "frames": ["demo", 3], "positive": ["source_text", 0]}
    settings = {"learning_rate": 1e-3, "tune_seed": 33, "precision": "auto", "memory": "speed", "preview_every": 0}
    run = {"num_steps": steps, "save_every": 100, "run_name": "thumbnails", "resume": resume}
    strengths = {"strength": 1.0, "temporal_strength": 1.0, "attention": "as tuned"}
    graph = {
        "demo": node("TAVLoadDemoModel"),
        "source_text": text(SOURCE),
        "empty": text(""),
        "tune": node("TAVOneShotTune", **sockets, **settings, **run),
        "apply": node("TAVApplyMotion", model=["demo", 0], motion=["tune", 0], **strengths),
        "encode": node("VAEEncode", pixels=["demo", 3], vae=["demo", 2]),
        "invert": node(
            "TAVDDIMInvert", model=["apply", 0], conditioning=["empty", 0], latent=["encode", 0], num_steps=20
        ),
    }
    for key, prompt in edits.items():
        graph |= {f"{key}_text": text(prompt), f"{key}_edit": edit_node(f"{key}_text")}
        graph[f"{key}_frames"] = node("VAEDecode", samples=[f"{key}_edit", 0], vae=["demo", 2])
        graph[key] = save(f"{key}_frames")
    return graph


def edit_node(prompt: str, *, model: str = "apply", latent: str = "invert", **more: Any) -> dict[str, Any]:
    settings = {"num_steps": 20, "cfg": 4.0, "eta": 0.0, "edit_seed": 33, **more}
    prompts = {"positive": [prompt, 0], "negative": ["empty", 0]}
    return node("TAVSampleEdit", model=[model, 0], latent=[latent, 0], **prompts, **settings)


def save(frames: str, output: int = 0) -> dict[str, Any]:
    return node("SaveImage", images=[frames, output], filename_prefix="thumbnails/frames")


def first_graph() -> dict[str, Any]:
    """All but the longer run: the clip, its edges, and edits (core's sampler, tiles, windows, mask, injection)."""
    prompts = {"positive": ["beach_text", 0], "negative": ["empty", 0]}
    noise = {"noise": ["invert", 2], "sigmas": ["invert", 3], "latent_image": ["encode", 0]}
    injection = {"trajectory": ["invert", 1], "conditioning": ["empty", 0], **INJECTION}
    return tuned_graph(100, "restart", EDITS) | {
        "source": save("demo", 3),
        "canny": node("Canny", image=["demo", 3], low_threshold=0.2, high_threshold=0.5),
        "edges": save("canny"),
        "guider": node("CFGGuider", model=["apply", 0], cfg=4.0, **prompts),
        "sampler": node("KSamplerSelect", sampler_name="ddim"),
        "sampled": node("SamplerCustomAdvanced", guider=["guider", 0], sampler=["sampler", 0], **noise),
        "stock_frames": node("VAEDecode", samples=["sampled", 0], vae=["demo", 2]),
        "stock": save("stock_frames"),
        "tiled_frames": node(
            "VAEDecodeTiled",
            samples=["elephant_edit", 0],
            vae=["demo", 2],
            tile_size=128,
            overlap=32,
            temporal_size=64,
            temporal_overlap=8,
        ),
        "tiled": save("tiled_frames"),
        "windows": node("TAVContextWindows", model=["apply", 0], length=4, overlap=1),
        "windowed_invert": node(
            "TAVDDIMInvert", model=["windows", 0], conditioning=["empty", 0], latent=["encode", 0], num_steps=20
        ),
        "windowed_edit": edit_node("watercolor_text", model="windows", latent="windowed_invert"),
        "windowed_frames": node("VAEDecode", samples=["windowed_edit", 0], vae=["demo", 2]),
        "windowed": save("windowed_frames"),
        "source_model": node("TAVInjectSource", model=["apply", 0], **injection),
        "injected_edit": edit_node("watercolor_text", model="source_model"),
        "injected_frames": node("VAEDecode", samples=["injected_edit", 0], vae=["demo", 2]),
        "injected": save("injected_frames"),
        **local_graph(),
    }


def local_graph() -> dict[str, Any]:
    """An edit inside the demo's mask, grown a little."""
    whole = {"feather": 4, "first_frame": 0, "last_frame": -1, "ramp": 3}
    return {
        "mask": node("GrowMask", mask=["demo", 5], expand=10, tapered_corners=True),
        "local_edit": edit_node("elephant_text", mask=["mask", 0], feather=4, trajectory=["invert", 1]),
        "local_frames": node("VAEDecode", samples=["local_edit", 0], vae=["demo", 2]),
        "composite": node(
            "TAVCompositeEdit", source=["demo", 3], edited=["local_frames", 0], mask=["mask", 0], **whole
        ),
        "local": save("composite"),
    }


def zero_shot_graph() -> dict[str, Any]:
    """Videos from text, with a motion field and without one."""
    graph = {
        "demo": node("TAVLoadDemoModel"),
        "shown": text(MADE),
        "empty": text(""),
        "cross": node("TAVCrossFrameModel", model=["demo", 0], attention="first"),
        "field": node("TAVMotionField", move_x=5.0, move_y=2.0, zoom=1.0, turn=0.0, path=""),
        "space": node("EmptyLatentImage", width=128, height=128, batch_size=8),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
    }
    prompts = {"model": ["cross", 0], "positive": ["shown", 0], "negative": ["empty", 0], "cfg": 4.0}
    for key, field in (("made", {"motion_field": ["field", 0]}), ("still", {})):
        moments = {"start_seed": 7, "num_steps": 20, "t0": 0.6, "t1": 0.7}
        graph[f"{key}_start"] = node("TAVZeroShotStart", **prompts, **moments, latent=["space", 0], **field)
        start = {"sigmas": [f"{key}_start", 1], "latent_image": [f"{key}_start", 0]}
        quiet = {"add_noise": False, "noise_seed": 0, "sampler": ["sampler", 0]}
        graph[f"{key}_latent"] = node("SamplerCustom", **prompts, **quiet, **start)
        graph[f"{key}_frames"] = node("VAEDecode", samples=[f"{key}_latent", 0], vae=["demo", 2])
        graph[key] = save(f"{key}_frames")
    return graph


def drawn_graph() -> dict[str, Any]:
    """A picture that is moved along a path, and the video that is made of it."""
    moves = {"path": "[[0.3, 0.7], [0.45, 0.45], [0.7, 0.65]]", "num_frames": 8, "still": True, "scale": 1.0}
    camera = {"pan_x": 0.0, "pan_y": 0.0, "zoom": 1.0, "turn": 0.0, "own_scale": 1.0, "follows": False}
    edges = {"begin": "object", "margin": 3, "feather": 1}
    return {
        "demo": node("TAVLoadDemoModel"),
        "shown": text(SOURCE),
        "empty": text(""),
        "animate": node("TAVAnimate", frames=["demo", 3], mask=["demo", 5], **moves, **camera, **edges),
        "crude": save("animate"),
        "cross": node("TAVCrossFrameModel", model=["demo", 0], attention="sparse_causal"),
        "encode": node("VAEEncode", pixels=["animate", 0], vae=["demo", 2]),
        "invert": node(
            "TAVDDIMInvert", model=["cross", 0], conditioning=["empty", 0], latent=["encode", 0], num_steps=20
        ),
        "drawn_edit": edit_node("shown", model="cross"),
        "drawn_frames": node("VAEDecode", samples=["drawn_edit", 0], vae=["demo", 2]),
        "drawn": save("drawn_frames"),
    }


def cascade_graph() -> dict[str, Any]:
    """Videos from text by the tiny LaVie; the first one with more frames, some of them larger."""
    graph = {
        "parts": node("TAVLoadDemoCascade"),
        "empty": node("CLIPTextEncode", clip=["parts", 0], text=""),
        "lavie": node("TAVLoadLaVie", model_name=TINY.format("base")),
        "space": node("EmptyLatentImage", width=96, height=96, batch_size=16),
    }
    sampling = {"seed": 1, "steps": 30, "cfg": 5.0, "sampler_name": "ddim", "scheduler": "ddim_uniform", "denoise": 1.0}
    for number, shown in enumerate(SHAPES):
        told = f"text_{number}"
        graph[told] = node("CLIPTextEncode", clip=["parts", 0], text=shown)
        prompts = {"model": ["lavie", 0], "positive": [told, 0], "negative": ["empty", 0], "latent_image": ["space", 0]}
        graph[f"latent_{number}"] = node("KSampler", **prompts, **sampling)
        graph[f"video_{number}"] = node("VAEDecode", samples=[f"latent_{number}", 0], vae=["parts", 1])
        graph[f"base_{number}"] = save(f"video_{number}")
    told = {"clip": ["parts", 0], "prompt": SHAPES[0], "num_steps": 20, "cfg": 1.0}
    windows = {"negative": "None", "prompt_suffix": ", 4k.", "window": 16, "window_overlap": 4}
    chunks = {"negative": "blur, worst quality", "chunk": 8, "chunk_overlap": 2, "noise_level": 50}
    files = {"vae": ["parts", 1], "model_name": TINY.format("interpolation")}
    graph["frames"] = node(
        "TAVInterpolateFrames", images=["video_0", 0], **told, **windows, **files, interpolate_seed=3418, fps=8.0
    )
    files = {"vae": ["parts", 2], "model_name": TINY.format("super_resolution")}
    graph["some"] = node("ImageFromBatch", image=["frames", 0], batch_index=0, length=16)
    graph["upscaled"] = node("TAVUpscaleVideo", images=["some", 0], **told, **chunks, **files, upscale_seed=10)
    return graph | {"between": save("frames"), "large": save("upscaled")}


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
