"""Wrong inputs end in a message that names them and says what to do, and the server keeps running."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from tests.comfyui.graphs import (
    EDIT,
    OPTIONS,
    Graph,
    changed,
    clip_graph,
    edit_graph,
    motion_graph,
    node,
    text,
    tune_graph,
)
from tests.comfyui.server import PACK, Client, Server, error_of

LONG = "x" * 300


def with_options(**changes: Any) -> Graph:
    return {**tune_graph(options=["options", 0]), "options": node("TAVTuneOptions", **{**OPTIONS, **changes})}


def save_graph(name: str) -> Graph:
    graph = motion_graph()
    keep = {"precision": "fp16", "overwrite": False}
    return {"load": graph["load"], "save": node("TAVSaveMotion", motion=["load", 0], name=name, **keep)}


def twice() -> Graph:
    graph = motion_graph()
    again = node("TAVApplyMotion", **{**graph["apply"]["inputs"], "model": ["apply", 0]})
    return changed({**graph, "again": again}, "invert", model=["again", 0])


def tuned_again() -> Graph:
    graph = motion_graph()
    tuning = tune_graph(model=["apply", 0])["tune"]
    return {**graph, "source": text("a red circle"), "tune": tuning}


def edit_of(**edit: Any) -> Graph:
    """An edit from a saved motion, one input of Sample Edit changed."""
    links = {"model": ["apply", 0], "positive": ["empty", 0], "negative": ["empty", 0], "latent": ["invert", 0]}
    sampling = node("TAVSampleEdit", **{**links, "trajectory": ["invert", 1], **EDIT, "num_steps": 2, **edit})
    return changed({**motion_graph(), "edit": sampling}, "decode", samples=["edit", 0])


def fewer_frames() -> Graph:
    graph = edit_of(latent=["fewer", 0])
    return {**graph, "fewer": node("LatentFromBatch", samples=["invert", 0], batch_index=0, length=4)}


def masked() -> Graph:
    graph = motion_graph()
    graph["mask"] = node("SolidMask", value=1.0, width=96, height=96)
    graph["masked"] = node("SetLatentNoiseMask", samples=["encode", 0], mask=["mask", 0])
    return changed(graph, "invert", latent=["masked", 0])


def two_prompts() -> Graph:
    graph = tune_graph(positive=["both", 0])
    both = node("ConditioningCombine", conditioning_1=["source", 0], conditioning_2=["source", 0])
    return {**graph, "both": both}


def scaled_frames(size: int) -> Graph:
    graph = tune_graph(frames=["scaled", 0])
    scale = {"upscale_method": "area", "width": size, "height": 96, "crop": "disabled"}
    return {**graph, "scaled": node("ImageScale", image=["demo", 3], **scale)}


def one_frame() -> Graph:
    graph = tune_graph(frames=["one", 0])
    return {**graph, "one": node("ImageFromBatch", image=["demo", 3], batch_index=0, length=1)}


def sixteen_channels() -> Graph:
    graph = changed(motion_graph(), "invert", latent=["sd3", 0])
    return {**graph, "sd3": node("EmptySD3LatentImage", width=96, height=96, batch_size=4)}


def original(source: str) -> Graph:
    imported = node("TAVImportOriginal", model=["demo", 0], source=source)
    return {**changed(motion_graph(), "apply", motion=["import", 0]), "import": imported}


MOVES = {"num_frames": 4, "still": True, "scale": 1.0, "pan_x": 0.0, "pan_y": 0.0, "zoom": 1.0, "turn": 0.0}
MOVES |= {"begin": "object", "margin": 3, "feather": 1, "own_scale": 1.0, "follows": False}
WAY = "[[0.3, 0.6], [0.7, 0.5]]"


def animated(path: str = WAY, **changes: Any) -> Graph:
    """An animation of the demo's picture, of which nothing is made."""
    sockets = {"frames": ["demo", 3], "mask": ["demo", 5], "path": path, **MOVES, **changes}
    given = {name: value for name, value in sockets.items() if value is not None}
    return {"demo": node("TAVLoadDemoModel"), "animate": node("TAVAnimate", **given)}


def animation_edit(**changes: Any) -> Graph:
    """An edit that starts from an animation, one input of Sample Edit changed."""
    start = {"num_steps": 2, "strength": 0.7, "hold": 0.5, "start_seed": 1}
    links = {"positive": ["empty", 0], "negative": ["empty", 0], "latent": ["start", 1], "model": ["start", 0]}
    return {
        **animated(),
        "empty": text(""),
        "cross": node("TAVCrossFrameModel", model=["demo", 0], attention="sparse_causal"),
        "encode": node("VAEEncode", pixels=["animate", 0], vae=["demo", 2]),
        "start": node("TAVAnimationStart", model=["cross", 0], latent=["encode", 0], mask=["animate", 1], **start),
        "edit": node("TAVSampleEdit", **{**links, **EDIT, "num_steps": 2, **changes}),
        "decode": node("VAEDecode", samples=["edit", 0], vae=["demo", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="animation"),
    }


# name: (graph, words that the message must hold)
CASES: dict[str, tuple[Graph, tuple[str, ...]]] = {
    "clip gone": (clip_graph(video="gone.mp4"), ("video", "gone.mp4", "upload")),
    "clip outside": (clip_graph(video="../../../etc/passwd"), ("video",)),
    "not a video": (clip_graph(video="text.mp4"), ("text.mp4", "Expected")),
    "start beyond the end": (clip_graph(start=500), ("start", "frames")),
    "too few frames": (clip_graph(num_frames=500), ("frames", "Expected")),
    "odd width": (clip_graph(width=100), ("width", "8")),
    "no frames": (clip_graph(num_frames=0), ("num_frames", "min")),
    "unknown fit": (clip_graph(fit="zoom"), ("fit", "zoom")),
    "one frame": (one_frame(), ("one frame", "Load Clip")),
    "size": (scaled_frames(100), ("100x96", "multiples of 8")),
    "two prompts": (two_prompts(), ("2 prompts at positive", "CLIP Text Encode")),
    "empty name": (tune_graph(run_name=" "), ("name", "letters")),
    "path as name": (tune_graph(run_name="../../evil"), ("../../evil", "without folders")),
    "device as name": (tune_graph(run_name="CON"), ("CON", "letters")),
    "long name": (tune_graph(run_name=LONG), ("name", "100 bytes")),
    "no steps": (tune_graph(num_steps=0), ("num_steps 0 without a motion to start from", "at least one step")),
    "no rate": (tune_graph(learning_rate=0.0), ("learning_rate", "min")),
    "unknown memory": (tune_graph(memory="turbo"), ("memory", "turbo")),
    "unknown precision": (tune_graph(precision="fp8"), ("precision", "fp8")),
    "warm-up": (with_options(warmup_steps=50), ("warmup_steps 50", "a tenth")),
    "beta": (with_options(beta1=2.0), ("beta1", "max")),
    "mode": (with_options(attention="telepathic"), ("attention", "telepathic")),
    "taken": (tune_graph(run_name="good", resume="new"), ("run_name 'good'", "restart")),
    "not this run's": (tune_graph(run_name="good"), ("run_name 'good'", "Choose another")),
    "tuning a tuned model": (tuned_again(), ("motion on it", "loader")),
    "save: taken": (save_graph("good"), ("name 'good'", "overwrite")),
    "save: path": (save_graph("a/b"), ("a/b", "letters")),
    "motion gone": (motion_graph("gone.safetensors"), ("motion_name", "gone.safetensors")),
    "damaged motion": (motion_graph("damaged.safetensors"), ("damaged.safetensors", "damaged or of another kind")),
    "no motion": (motion_graph("other.safetensors"), ("other.safetensors", "motion")),
    "other architecture": (motion_graph("wide.safetensors"), ("cross_attention_dim", "family")),
    "motion twice": (twice(), ("motion on it already", "loader")),
    "mask": (masked(), ("latent with a noise mask", "KSampler")),
    "channels": (sixteen_channels(), ("latent of shape", "f 4 h w", "VAE")),
    "steps": (edit_of(num_steps=3), ("3 sampling steps", "inversion of 2")),
    "frames": (fewer_frames(), ("frames", "inver")),
    "cfg": (edit_of(cfg=1000.0), ("cfg", "max")),
    "nothing connected": (changed(edit_of(), "edit", model=None), ("model", "missing")),
    "wrong socket": (edit_of(model=["demo", 2]), ("model", "VAE")),
    "path: no points": (animated("left to right"), ("path", "fractions of the frame")),
    "path: one point": (animated("[[0.3, 0.6]]"), ("a path of one point", "two points or more")),
    "path: pixels": (animated("40,60 90,60"), ("40, 60", "Divide pixels")),
    "path: no mask": (animated(mask=None), ("a path without a mask", "mask of the object")),
    "nothing moves": (animated(""), ("nothing that moves", "Draw a path")),
    "other steps than the animation's": (animation_edit(num_steps=3), ("noised for 2", "Use 2 steps in both")),
    "original gone": (original("diffusers/gone"), ("source", "gone")),
    "not the original's": (original("tav_motion/good.safetensors"), ("good.safetensors", "motion")),
}


@pytest.fixture(scope="module")
def prepared(server: Server):
    """A server with a good motion, and with files that are not what they should be."""
    inputs, motions = server.base / "input", server.base / "models" / "tav_motion"
    shutil.copy(PACK / "demo" / "clip.mp4", inputs / "clip.mp4")
    (inputs / "text.mp4").write_text("this is no video")
    client = server.connect()
    for graph in (edit_graph(run_name="good", num_steps=2), tune_graph(run_name="long", num_steps=2)):
        assert error_of(client.run(graph)) == ""
    (server.base / "output" / "tav_runs" / "good.safetensors").unlink()
    spoil(motions)
    yield server
    client.close()


def spoil(motions) -> None:
    """Files beside the good motion: cut off, another tool's, and for another architecture."""
    good = (motions / "good.safetensors").read_bytes()
    (motions / "damaged.safetensors").write_bytes(good[: len(good) // 2])
    header = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (motions / "other.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    length = int.from_bytes(good[:8], "little")
    told = json.loads(good[8 : 8 + length])
    architecture = json.loads(told["__metadata__"]["architecture"])
    told["__metadata__"]["architecture"] = json.dumps({**architecture, "cross_attention_dim": 1024})
    header = json.dumps(told).encode()
    (motions / "wide.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + good[8 + length :])


def message_of(client: Client, graph: Graph) -> str:
    """What a user is told of a graph: at once if it does not validate, else by the node that fails."""
    answer = client.queue(graph)
    if answer.get("node_errors"):
        return json.dumps(answer["node_errors"])
    if "prompt_id" not in answer:
        return json.dumps(answer)
    return error_of(client.wait(answer["prompt_id"]))


@pytest.mark.parametrize("case", CASES)
def test_the_message_names_what_is_wrong(prepared, case):
    graph, words = CASES[case]
    client = prepared.connect()
    try:
        message = message_of(client, graph)
    finally:
        client.close()
    assert all(word in message for word in words), message
    assert prepared.get("/system_stats")["system"]
