"""The example workflows in a real ComfyUI: they fit its nodes, and run with the demo model in place of a big one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.lavie import KINDS
from tests.comfyui.graphs import changed
from tests.comfyui.lavie_files import write_lavie, write_x4_vae
from tests.comfyui.pictures import all_frames_differ, show
from tests.comfyui.server import PACK, Server, error_of
from tests.comfyui.ui_to_api import NOTES, inputs_of, is_widget, to_api

WORKFLOWS = sorted((PACK / "workflows").glob("*.json"))
OLDEST = "0.8."
TUNING, CONTROLNET = "02_tune_on_your_clip", "06_controlnet"
# What the runs are made small with, wherever a node has such an input.
SMALL = {"width": 96, "height": 96, "num_frames": 8, "batch_size": 2, "preview_every": 0, "video": "clip.mp4"}
SMALLEST = 64
# Widgets that name files which are not there before the workflows run.
FILES, X4_VAE = ("motion_name", "model_name", "folder"), "x4_vae.safetensors"
STEPS, MOST_TUNING_STEPS, FEWER, RANK = 2, 3, 100, 2
# The demo's UNet: the widths after each of its input blocks. A ControlNet's convolutions on the hint: out, in, side.
BLOCK_WIDTHS = (64, 64, 64, 128, 128, 192)
HINT_WIDTHS = (3, 16, 16, 32, 32, 96, 96, 256, 64)
HINT_CONVS = [(out, into, 3) for into, out in pairwise(HINT_WIDTHS)]


class Run(NamedTuple):
    """A run of a workflow: the graph in API format, its history, what the server sent, and what it logged."""

    graph: dict[str, Any]
    history: dict[str, Any]
    messages: list[dict[str, Any]]
    log: str

    def ids(self, kind: str) -> list[str]:
        """The nodes of a kind, in order."""
        return [key for key, node in self.graph.items() if node["class_type"] == kind]


def read(name: str) -> dict[str, Any]:
    return json.loads((PACK / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def name(request) -> str:
    return request.param.stem


@pytest.fixture(scope="module")
def run(server: Server, definitions: dict[str, Any]) -> Callable[[str], Run]:
    """Runs a workflow with the demo model, once. All but the tuning ones need the motion of workflow 02."""
    make_files(server)

    @cache
    def run_once(name: str) -> Run:
        if any(node["type"] == "TAVLoadMotion" for node in read(name)["nodes"]):
            run_once(TUNING)
        graph = shrink(to_api(read(name), definitions))
        client, begun = server.connect(), len(server.log_text())
        history = client.run(graph)
        client.close()
        assert history["status"]["status_str"] == "success", error_of(history)
        return Run(graph, history, client.messages, server.log_text()[begun:])

    return run_once


def make_files(server: Server) -> None:
    """The files that the workflows name, and no others: the demo's clip; a LoRA, a ControlNet and LaVie's three models
    that fit the demo model.
    """
    models = server.base / "models"
    # Runs of other tests may bear the names that the workflows give, and have more steps.
    for left in (models / "tav_motion", server.base / "output" / "tav_runs"):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copy(PACK / "demo" / "clip.mp4", server.base / "input")
    folder = server.base / "input" / "my_clips"
    folder.mkdir(exist_ok=True)
    shutil.copy(PACK / "demo" / "clip.mp4", folder / "ski.mp4")
    save_file(demo_lora(), models / "loras" / "my_lora.safetensors")
    loader = next(node for node in read(CONTROLNET)["nodes"] if node["type"] == "ControlNetLoader")
    save_file(demo_controlnet(), models / "controlnet" / loader["widgets_values"][0])
    for folder in ("lavie", "vae"):
        (models / folder).mkdir(exist_ok=True)
    # safetensors under the names of the published pickles: a file's content says what it is.
    for kind in KINDS:
        write_lavie(models / "lavie" / KINDS[kind].file, kind)
    write_x4_vae(models / "vae" / X4_VAE)


def demo_lora() -> dict[str, torch.Tensor]:
    """A LoRA on one layer of the demo's UNet."""
    layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_q"
    return {f"{layer}.lora_down.weight": torch.randn(RANK, 192), f"{layer}.lora_up.weight": torch.randn(192, RANK)}


def demo_controlnet() -> dict[str, torch.Tensor]:
    """A Control-LoRA of random weights: what it has not itself, core takes from the model that it is used with. Core
    loads ControlNets of any other format for models of Stable Diffusion's widths alone; test_checkpoints.py has one."""
    generator = torch.Generator().manual_seed(0)
    convs = {f"input_hint_block.{2 * i}": shape for i, shape in enumerate(HINT_CONVS)}
    convs |= {f"zero_convs.{i}.0": (width, width, 1) for i, width in enumerate(BLOCK_WIDTHS)}
    convs["middle_block_out.0"] = (BLOCK_WIDTHS[-1], BLOCK_WIDTHS[-1], 1)
    weights = {"lora_controlnet": torch.zeros(0)}
    for name, (out, into, side) in convs.items():
        fan = into * side**2
        weights[f"{name}.weight"] = torch.randn(out, into, side, side, generator=generator) * fan**-0.5
        weights[f"{name}.bias"] = torch.zeros(out)
    return weights


def shrink(graph: dict[str, Any]) -> dict[str, Any]:
    """A graph in API format on the demo model, with few steps."""
    for node in list(graph.values()):
        inputs = node["inputs"]
        if node["class_type"] == "TAVUpscaleVideo" and graph[inputs["vae"][0]]["class_type"] != "TAVLoadDemoCascade":
            # The demo's VAE enlarges eight times.
            graph["x4"] = {"class_type": "VAELoader", "inputs": {"vae_name": X4_VAE}}
            inputs["vae"] = ["x4", 0]
        if node["class_type"] == "CheckpointLoaderSimple":
            node.update(class_type="TAVLoadDemoModel", inputs={})
        inputs.update({key: value for key, value in SMALL.items() if not isinstance(inputs.get(key, []), list)})
        # What LaVie makes may be upscaled, which takes long.
        if node["class_type"] == "EmptyLatentImage":
            inputs.update(width=SMALLEST, height=SMALLEST)
        if "num_steps" in inputs:
            fewer = max(1, min(inputs["num_steps"] // FEWER, MOST_TUNING_STEPS))
            inputs["num_steps"] = fewer if "run_name" in inputs else STEPS
        inputs.update({key: STEPS for key in ("steps", "tuning_steps", "sampling_steps") if key in inputs})
    return graph


def test_nodes_fit_this_comfyui(name, definitions):
    for node in read(name)["nodes"]:
        if node["type"] in NOTES:
            continue
        definition = definitions[node["type"]]
        specs = {name: (spec, required) for name, spec, required in inputs_of(definition["input"])}
        for socket in node["inputs"]:
            kind = specs[socket["name"]][0][0]
            assert socket["type"] == ("COMBO" if isinstance(kind, list) else kind)
        wired = {socket["name"] for socket in node["inputs"] if socket["link"] is not None}
        assert {name for name, (spec, required) in specs.items() if required and not is_widget(spec)} <= wired
        shown = [(socket["name"], socket["type"]) for socket in node["outputs"]]
        # A later ComfyUI may have more outputs.
        assert shown == list(zip(definition["output_name"], definition["output"], strict=True))[: len(shown)]


def test_the_files_are_what_the_script_makes(server):
    """As the script says, on the oldest ComfyUI: later ones give their nodes more inputs."""
    if not server.version.startswith(OLDEST):
        pytest.skip(f"the templates are made on ComfyUI {OLDEST}")
    script = [sys.executable, PACK / "scripts" / "make_workflows.py", "--url", server.url, "--check"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_links_are_consistent(name):
    workflow = read(name)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"]) == workflow["last_node_id"]
    assert len({link[0] for link in workflow["links"]}) == len(workflow["links"]) == workflow["last_link_id"]
    for number, source, source_slot, target, target_slot, kind in workflow["links"]:
        output, socket = nodes[source]["outputs"][source_slot], nodes[target]["inputs"][target_slot]
        assert number in output["links"] and socket["link"] == number
        assert output["type"] == socket["type"] == kind
    ends = [link for node in nodes.values() for socket in node["outputs"] for link in socket["links"]]
    assert sorted(ends) == sorted(link[0] for link in workflow["links"])


def test_widget_values_are_of_the_widgets(name, definitions):
    for key, node in to_api(read(name), definitions).items():
        definition = definitions[node["class_type"]]["input"]
        for widget, value in node["inputs"].items():
            spec = {**definition.get("required", {}), **definition.get("optional", {})}.get(widget)
            if isinstance(value, list) or spec is None:
                continue
            where = f"{name}, node {key}, {widget}: {value!r}"
            if spec[0] in ("INT", "FLOAT"):
                assert spec[1]["min"] <= value <= spec[1]["max"], where
            if spec[0] == "COMBO" and not spec[1].get("video_upload") and widget not in FILES:
                assert value in spec[1]["options"], where


def test_runs_on_the_demo_model(name, server, run):
    done = run(name)
    savers, reports = done.ids("SaveVideo"), done.ids("TAVBatchReport")
    assert savers or reports
    for report in reports:
        (path,) = done.history["outputs"][report]["text"]
        assert "3 of 3 edits are done" in Path(path).read_text(encoding="utf-8")
    for saver in savers:
        (video,) = done.history["outputs"][saver]["images"]
        assert (server.base / "output" / video["subfolder"] / video["filename"]).stat().st_size > 1000


def test_the_tuned_motion_is_where_the_others_load_it(server, run):
    run(TUNING)
    assert (server.base / "models" / "tav_motion" / "my_motion.safetensors").exists()


def test_the_controlnet_changes_every_frame_of_the_edit(server, run):
    done = run(CONTROLNET)
    (decode,), (control,) = done.ids("VAEDecode"), done.ids("ControlNetApplyAdvanced")
    on, again, off = (show(server, changed(done.graph, control, strength=s), decode) for s in (0.7, 0.7, 0.0))
    assert len(on) == SMALL["num_frames"]
    assert all_frames_differ(on, off) and torch.equal(on, again)


def test_resume_goes_on_after_the_first_run(run):
    done = run("05_resume_and_compare_steps")
    first, second = done.ids("TAVOneShotTune")
    begun = [message["data"]["node"] for message in done.messages if message["type"] == "executing"]
    assert begun.index(first) < begun.index(second)
    steps = [message["data"] for message in done.messages if message["type"] == "progress"]
    went_on = [step["value"] for step in steps if step["node"] == second]
    assert min(went_on) > done.graph[first]["inputs"]["num_steps"]


@pytest.mark.parametrize("which", ["01_quickstart", "05_resume_and_compare_steps"])
def test_a_new_edited_prompt_reruns_the_sampling_alone(server, run, which):
    done = run(which)
    graph = {key: {**node, "inputs": dict(node["inputs"])} for key, node in done.graph.items()}
    feeds = {node["inputs"]["positive"][0] for node in graph.values() if node["class_type"] == "TAVSampleEdit"}
    (edited,) = feeds
    graph[edited]["inputs"]["text"] = "a green circle on a blue background"
    client = server.connect()
    # The host keeps the results of the last graph alone, and other tests may have run others since.
    assert error_of(client.run(done.graph)) == ""
    client.messages.clear()
    history = client.run(graph)
    client.close()
    assert history["status"]["status_str"] == "success", error_of(history)
    ran = [m["data"]["node"] for m in client.messages if m["type"] == "executing" and m["data"]["node"]]
    kinds = Counter(graph[key]["class_type"] for key in ran)
    edits = len(done.ids("TAVSampleEdit"))
    assert kinds == Counter(
        {"CLIPTextEncode": 1, "TAVSampleEdit": edits, "VAEDecode": edits}
        | dict.fromkeys(("TAVCompareVideos", "CreateVideo", "SaveVideo"), 1)
    )


def test_every_prompt_of_the_list_is_rendered_from_one_inversion(server, run):
    done = run("03_one_motion_four_prompts")
    (decode,), (compare,), (prompts,) = done.ids("VAEDecode"), done.ids("TAVCompareVideos"), done.ids("TAVPrompts")
    lines = done.graph[prompts]["inputs"]["prompts"].splitlines()
    begun = Counter(message["data"]["node"] for message in done.messages if message["type"] == "executing")
    assert len(lines) == 4 and begun[done.ids("TAVDDIMInvert")[0]] == 1
    edits, joined = show(server, done.graph, decode), show(server, done.graph, compare)
    assert len(edits) == len(lines) * SMALL["num_frames"]
    # The clip and four edits, in rows of three and two.
    assert len(joined) == SMALL["num_frames"]
    assert joined.shape[2] == 3 * SMALL["width"] + 2 * 4


def test_every_key_of_the_lora_applies(run):
    done = run("07_stock_samplers_with_lora")
    assert done.ids("LoraLoader") and "lora key not loaded" not in done.log
