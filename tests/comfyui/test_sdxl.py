"""Stable Diffusion XL in a real ComfyUI: both hosts by the figures of sdxl_checks.py, and whole graphs on a server.

Core's checkpoint loader knows XL by its full size, so a node that is only here gives tiny models instead.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tav_core.tuning.low_rank import LowRankDeltas
from tav_core.tuning.motion import Motion
from tests.comfyui.conftest import name_of
from tests.comfyui.graphs import APPLY, CLIP, EDIT, OPTIONS, TUNE, Graph, node
from tests.comfyui.pictures import all_frames_differ, show
from tests.comfyui.server import PACK, Server, error_of
from tests.comfyui.test_workflows import read, shrink
from tests.comfyui.ui_to_api import to_api
from tests.tav_core.metrics.tiny_judges import make_clip, save_clip

HERE = Path(__file__).parent
SIDE, FRAMES, RANK = 64, 3, 32
# Both hosts compute in float32.
SAME = 1e-5
LOADER = f'''"""Tiny models of random weights, for tests alone."""

import importlib.util
from functools import cache

spec = importlib.util.spec_from_file_location("sdxl_files", {str(HERE / "sdxl_files.py")!r})
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)


@cache
def load(seed):
    parts = tiny.make_parts(seed)
    return tiny.core_model(parts.unet), tiny.core_clip(parts), tiny.core_vae(parts.vae)


class TinyXL:
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {{"required": {{"seed": ("INT", {{"default": 0}})}}}}

    def run(self, seed):
        return load(seed)


NODE_CLASS_MAPPINGS = {{"TinyXL": TinyXL}}
'''


@pytest.fixture(scope="module")
def host(run_checks):
    """What sdxl_checks.py measured."""
    return run_checks("sdxl_checks.py")


def test_texts_latents_weights_and_y_are_the_librarys(host):
    parts = host["parts"]
    assert parts["unet_read_back_equal"] and parts["hash_equal"] and parts["rows"] == 5
    assert max(parts[name] for name in ("text", "pooled", "y")) < SAME
    assert parts["latents"] < 2e-5
    assert parts["empty"] > 0.1, "the empty prompt is encoded, not zeros"


@pytest.mark.parametrize("kind", ["last, low rank", "all, whole", "told 1024", "rotary, clip"])
@pytest.mark.parametrize("what", ["epsilon", "inversion", "edit"])
def test_both_hosts_agree(host, kind, what):
    assert host["agreement"][f"{kind}: {what}"] < SAME


def test_the_stock_sampler_agrees_up_to_the_noise_that_it_ends_at(host):
    assert host["agreement"]["stock_ddim"] < 2e-3


@pytest.mark.parametrize("method", ["ddim", "fixed_point", "o_belm", "dpmpp_2m"])
def test_every_way_to_invert_agrees(host, method):
    # O-BELM divides by small numbers, step by step, so it enlarges what is rounded.
    assert host["methods"][f"{method} agrees"] < (1e-3 if method == "o_belm" else SAME)


def test_the_exact_inversion_gives_the_clip_back(host):
    assert host["methods"]["o_belm"] > 90


@pytest.mark.parametrize("source", ["of the motion", "of the latents", "of the conditioning", "width alone"])
def test_the_sizes_that_are_told_are(host, source):
    assert host["sizes"][source] < SAME


def test_sizes_change_y_alone(host):
    sizes = host["sizes"]
    assert sizes["pooled stays"] and sizes["text stays"] and sizes["given prompt is not changed"]
    assert sizes["changes the edit"] > 1e-3
    assert sizes["as the motion's"] == 0


def test_factors_give_what_the_merged_queries_give(host):
    patches = host["patches"]
    assert patches["factors are as merged"] < SAME and patches["half is as half"] < SAME
    assert patches["strength changes"] > 0.01 and patches["motion changes"] > 0.01
    assert patches["blocks"] == 18, "frames see each other in all blocks"


def test_taking_the_motion_off_gives_the_model_back_bit_for_bit(host):
    patches = host["patches"]
    assert patches["weights back"] and patches["plain back"] and patches["nothing left"] == 0


def test_loras_under_old_and_new_names_count_before_and_after_the_motion(host):
    patches = host["patches"]
    assert patches["lora keys"] == [2, 2]
    assert patches["lora changes"] > 0.01 and patches["lora order"] < SAME


def test_injection_windows_and_masks_work(host):
    found = host["techniques"]
    # The source is one more video in each batch, so kernels may round otherwise.
    assert found["injection"] < 5e-5 and found["injection changes"] > 0.01
    assert found["the source is told its own sizes"] > 1e-3
    assert found["windows"] < SAME
    assert found["outside the mask"] < SAME and found["inside the mask"] > 0.01


def test_frames_attend_across_without_a_motion(host):
    assert host["techniques"]["cross frame changes"] > 0.01
    assert host["techniques"]["cross frame alone"] == 0


@pytest.mark.parametrize("sampler", ["ddim", "euler", "dpmpp_2m"])
def test_stock_samplers_work(host, sampler):
    assert host["techniques"][f"sampler {sampler}"]


def test_schedules_of_prompts_give_each_frame_its_pooled_text(host):
    """Elsewhere only the first prompt of a schedule counted with XL (ComfyUI_FizzNodes #107, #108)."""
    assert host["techniques"]["a pooled text per frame"] < SAME
    assert host["techniques"]["in windows too"] == 0


def test_controlnets_and_videos_from_text_work(host):
    controls = host["controls"]
    assert controls["control changes"] > 0.01 and controls["control by frame"] > 1e-3
    assert controls["zero shot"] > 1


@pytest.mark.parametrize("said", ["by file", "by node"])
def test_velocity_is_heard(host, said):
    """Elsewhere such models were taken for epsilon (InvokeAI #7495)."""
    assert host["velocity"][f"{said}, schedule"] == "v_prediction"
    assert host["velocity"][said] < SAME


@pytest.mark.parametrize(
    ("case", "words"),
    [
        # "KeyError: 'pooled_output'" elsewhere (was-node-suite-comfyui #179, ComfyUI_UltimateSDUpscale #48).
        ("no pooled text", ["no pooled text at conditioning", "width 64", "pooled_output"]),
        ("pooled text of another width", ["(1, 768)", "width 64"]),
        ("text of 1.x", ["text of width 768", "width 128", "pooled text of width 64"]),
        ("an image as source", ["embedding of an image", "unCLIPConditioning"]),
        ("sizes too large", ["100000", "16384"]),
        # A node's zsnr burned pictures elsewhere (krita-ai-diffusion #1108).
        ("zero terminal SNR", ["zero terminal SNR"]),
        ("EDM", ["Playground v2.5"]),
        ("EDM's velocity", ["EDM's velocity"]),
        ("SSD1B", ["SSD-1B"]),
        ("Segmind_Vega", ["Segmind Vega"]),
        ("KOALA_700M", ["KOALA-700M"]),
        ("KOALA_1B", ["KOALA-1B"]),
        ("refiner", ["refiner", "base model"]),
        ("InstructPix2Pix", ["InstructPix2Pix"]),
        ("a motion of 1.x", ["tuned on", "block_out_channels", "tune again"]),
        ("a motion of XL on 1.x", ["tuned on", "block_out_channels", "tune again"]),
        ("temporal weights missing", ["without temporal weights", "last of each"]),
        ("says all, has the last", ["without temporal weights", "every transformer block"]),
        ("an original to import", ["original", "tune again"]),
    ],
)
def test_what_does_not_fit_is_refused_in_words(host, case, words):
    assert all(word in host["refusals"][case] for word in words), host["refusals"][case]


@pytest.fixture(scope="module")
def server(comfyui, tmp_path_factory):
    """A server with the loader of tiny models."""
    base = tmp_path_factory.mktemp(f"xl_{name_of(comfyui)}")
    loader = base / "custom_nodes" / "tiny_xl"
    loader.mkdir(parents=True)
    (loader / "__init__.py").write_text(LOADER)
    started = Server(*comfyui, base)
    shutil.copy(PACK / "demo" / "clip.mp4", base / "input" / "clip.mp4")
    save_clip(make_clip(), base / "models" / "clip_vision" / "judge")
    try:
        yield started.wait_ready()
    finally:
        started.stop()


def load(seed: int = 0) -> Graph:
    """A tiny checkpoint, prompts, and a clip."""
    clip = {**CLIP, "num_frames": FRAMES, "width": SIDE, "height": SIDE}
    return {
        "demo": node("TinyXL", seed=seed),
        "source": told("a bear is running"),
        "edited": told("an elephant is running"),
        "empty": told(""),
        "clip": node("TAVLoadClip", **clip),
    }


def told(prompt: str, size: int = 0) -> dict:
    """A prompt; with a size by CLIP Text Encode SDXL."""
    if not size:
        return node("CLIPTextEncode", clip=["demo", 1], text=prompt)
    sizes = dict.fromkeys(("width", "height", "target_width", "target_height"), size)
    return node("CLIPTextEncodeSDXL", clip=["demo", 1], **sizes, crop_w=0, crop_h=0, text_g=prompt, text_l=prompt)


def tune(run: str, **more) -> Graph:
    links = {"model": ["demo", 0], "vae": ["demo", 2], "frames": ["clip", 0], "positive": ["source", 0]}
    return {**load(), "tune": node("TAVOneShotTune", **{**links, **TUNE, "run_name": run, **more})}


def edit(graph: Graph) -> Graph:
    """A motion's graph, with the edit of its clip."""
    prompts = {"positive": ["edited", 0], "negative": ["empty", 0]}
    start = {"latent": ["invert", 0], "trajectory": ["invert", 1]}
    return {
        **graph,
        "apply": node("TAVApplyMotion", model=["demo", 0], motion=["motion", 0], **APPLY),
        "encode": node("VAEEncode", pixels=["clip", 0], vae=["demo", 2]),
        "invert": node(
            "TAVDDIMInvert", model=["apply", 0], conditioning=["empty", 0], latent=["encode", 0], num_steps=3
        ),
        "edit": node("TAVSampleEdit", model=["apply", 0], **prompts, **start, **EDIT),
        "decode": node("VAEDecode", samples=["edit", 0], vae=["demo", 2]),
    }


def saved(server: Server, run: str) -> Motion:
    return Motion.load(server.base / "models" / "tav_motion" / f"{run}.safetensors")


def run(server: Server, graph: Graph):
    client = server.connect()
    done = client.run(graph)
    client.close()
    return done, client


@pytest.fixture(scope="module")
def tuned(server):
    """The name of a run with previews, whose edited prompt alone says sizes."""
    previews = {"preview_every": 2, "preview_positive": ["edited", 0], "preview_negative": ["empty", 0]}
    graph = {**tune("xl", **previews), "edited": told("an elephant is running", 1024)}
    done, client = run(server, graph)
    assert error_of(done) == ""
    assert any(b"\xff\xd8" in message for message in client.previews)
    return "xl"


def test_a_tuned_motion_is_small_and_records_the_sizes(server, tuned):
    motion = saved(server, tuned)
    assert isinstance(motion.deltas, LowRankDeltas) and motion.info.format_version == 2
    assert motion.info.size_ids == [SIDE, SIDE, 0, 0, SIDE, SIDE]
    assert motion.info.modes["temporal"] == "last" and motion.info.config["query_rank"] == RANK
    assert any(up.any() for _, up in motion.deltas.factors.values()), "the factors have learned"


def test_the_sizes_of_the_prompt_are_recorded(server):
    done, _ = run(server, {**tune("large", num_steps=1), "source": told("a bear is running", 1024)})
    assert error_of(done) == ""
    assert saved(server, "large").info.size_ids == [1024, 1024, 0, 0, 1024, 1024]


def test_all_blocks_and_whole_queries_can_be_tuned(server):
    options = node("TAVTuneOptions", **OPTIONS, temporal="all", query_rank=0)
    done, _ = run(server, {**tune("whole", num_steps=1, options=["options", 0]), "options": options})
    assert error_of(done) == ""
    motion = saved(server, "whole")
    assert not isinstance(motion.deltas, LowRankDeltas) and motion.info.format_version == 1
    assert len({name.split(".attn_temp")[0] for name in motion.temporal if ".attn_temp" in name}) == 18
    start = node("TAVLoadMotion", motion_name="whole.safetensors")
    done, _ = run(server, {**tune("on", num_steps=1, start_from=["start", 0]), "start": start})
    assert error_of(done) == ""
    assert saved(server, "on").temporal.keys() == motion.temporal.keys(), "it goes on in the blocks that it began in"


@pytest.mark.parametrize("seed", [0, 1])
def test_the_motion_renders_on_its_own_checkpoint_and_on_another(server, tuned, seed):
    before = server.log_text().count("tuned on other weights")
    graph = {**load(seed), "motion": node("TAVLoadMotion", motion_name=f"{tuned}.safetensors")}
    shown = show(server, edit(graph), "decode")
    assert shown.shape == (FRAMES, SIDE, SIDE, 3)
    assert server.log_text().count("tuned on other weights") - before == seed


def test_another_size_in_the_prompts_changes_the_edit(server, tuned):
    graph = edit({**load(), "motion": node("TAVLoadMotion", motion_name=f"{tuned}.safetensors")})
    large = {"edited": told("an elephant is running", 1024), "empty": told("", 1024)}
    before = server.log_text().count("its motion was tuned at")
    assert all_frames_differ(show(server, graph, "decode"), show(server, {**graph, **large}, "decode"))
    assert server.log_text().count("its motion was tuned at") > before


def test_a_run_ends_when_previews_get_no_better(server):
    judge = {"clip_model": "clip_vision/judge", "prompt": "an elephant", "source_prompt": "a bear", "patience": 1}
    links = {"preview_positive": ["edited", 0], "preview_negative": ["empty", 0], "stop_early": ["stop", 0]}
    graph = tune("early", preview_every=1, num_steps=3, **links)
    done, _ = run(server, {**graph, "stop": node("TAVStopEarly", **judge)})
    assert error_of(done) == ""
    assert saved(server, "early").info.steps_done in (1, 2, 3)


def test_a_run_goes_on_where_it_stopped(server, tuned):
    done, _ = run(server, tune(tuned, num_steps=5))
    assert error_of(done) == ""
    assert saved(server, tuned).info.steps_done == 5


def test_the_example_workflow_runs(server):
    graph = shrink(to_api(read("18_sdxl_dreambooth_swap"), server.get("/object_info")))
    loaders = [name for name, it in graph.items() if it["class_type"] == "TAVLoadDemoModel"]
    for seed, name in enumerate(loaders):
        graph[name] = node("TinyXL", seed=seed)
    done, _ = run(server, graph)
    assert len(loaders) == 2 and error_of(done) == ""
    assert saved(server, "my_sdxl_motion").info.size_ids == [96, 96, 0, 0, 96, 96]
