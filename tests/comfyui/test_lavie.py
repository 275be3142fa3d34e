"""LaVie in a real ComfyUI: the figures of lavie_checks.py, and graphs on a server."""

from __future__ import annotations

import pytest

from tests.comfyui.graphs import EDITED, changed, edit_graph, node, text
from tests.comfyui.lavie_files import write_lavie, write_x4_vae
from tests.comfyui.server import error_of

SAMPLERS = ("ddim, own", "euler, own", "ddpm, own", "ddim, ddim_uniform", "euler, normal")


@pytest.fixture(scope="module")
def measured(run_checks):
    """What lavie_checks.py measured."""
    return run_checks("lavie_checks.py")


def test_core_predicts_what_the_diffusers_host_does(measured):
    hosts = measured["hosts"]
    assert len(hosts) == 25 and max(hosts.values()) < 1e-5, hosts


def test_two_prompts_were_run_in_one_batch_and_in_two(measured):
    assert measured["batches"] == {"together": 1, "apart": 2}


@pytest.mark.parametrize("kind", ["basic", "split", "sub_quad", "pytorch", "without a bias"])
def test_every_attention_of_core_adds_the_bias(measured, kind):
    assert measured["attentions"][kind] < 1e-5


@pytest.mark.parametrize("pair", SAMPLERS)
def test_samplers_end_where_those_of_the_original_do(measured, pair):
    # core starts at noise x sigma, the original at noise x sqrt(1 + sigma^2): 1 in 30,000 at the start.
    assert measured["samplers"][pair] < 2e-4


def test_a_lora_counts_as_on_the_diffusers_host(measured):
    assert measured["lora"]["hosts"] < 1e-5 and measured["lora"]["taken_off"] < 1e-5
    assert measured["lora"]["changes"] > 1e-3


def test_a_controlnet_leads_each_frame_by_its_own_hint(measured):
    control = measured["control"]
    assert control["led"] > 0.01 and control["own_hint"] > 3 * control["others"]


def test_context_windows_see_their_own_frames_alone(measured):
    assert measured["windows"]["hosts"] < 1e-5 < measured["windows"]["differ"]


def test_interpolation_is_the_library_s_for_frames_of_any_size(measured):
    found = measured["interpolation"]
    assert found["hosts"] < 1e-5 and found["fps"] == 32.0 and found["on_cpu"] and found["alpha"]
    sizes = [[9, 48, 64, 3], [5, 45, 61, 3], [9, 48, 64, 3], [17, 48, 64, 3], [5, 48, 64, 3]]
    assert found["shapes"] == sizes


def test_upscaling_is_the_library_s_in_one_chunk_and_in_several(measured):
    found = measured["upscaling"]
    assert found["whole"] < 1e-5 and found["chunks"] < 1e-5 and found["spread"] > 0.01
    assert found["shapes"] == [[3, 56, 76, 3]] * 2


def test_a_cancel_is_heard_between_steps_and_no_weights_are_left(measured):
    """Others' nodes kept gigabytes after each run (ComfyUI-GIMM-VFI #29)."""
    found = measured["cancel"]
    assert found["cancelled"] and found["steps"] == 2 and found["previews"]
    assert (found["runs"], found["left"]) == (2, 0)


def test_every_tensor_of_the_published_base_has_a_place_in_core(measured):
    assert measured["real"] == {"keys": 830, "same": True, "whole": True}


def test_the_file_may_say_the_scale_of_its_latents(measured):
    scale = measured["scale"]
    assert (scale["usual"], scale["said"]) == (0.18215, 0.5)
    assert scale["sigma_max"] == pytest.approx(157.41, abs=0.01)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("interpolation", ["LaVie's interpolation", "lavie_base.pt"]),
        ("super-resolution", ["LaVie's super-resolution", "lavie_base.pt"]),
        ("AnimateDiff", ["a video model", "motion module of AnimateDiff"]),
        ("truncated", ["cannot be read", "incomplete"]),
        ("truncated pickle", ["cannot be read", "get the file again"]),
        ("a web page", ["a web page", "Download it again"]),
        ("gone", ["not there", "models/lavie"]),
        ("outside", ["not there"]),
        ("base for interpolation", ["LaVie's base model", "lavie_interpolation.pt"]),
        ("interpolation for upscaling", ["LaVie's interpolation", "lavie_vsr.pt"]),
        ("windows", ["windows of 4 frames that overlap by 4"]),
    ],
)
def test_wrong_files_and_settings_are_told_before_anything_runs(measured, file, words):
    """Elsewhere a web page saved under a model's name was "invalid load key, '<'" (AnimateDiff-Evolved #84)."""
    assert all(word in measured["files"][file] for word in words), measured["files"][file]


@pytest.mark.parametrize("file", ["good", "pickle", "chunks"])
def test_right_files_are_taken(measured, file):
    assert measured["files"][file] is True


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("temporal weight missing", ["attn_temp.to_q.weight is missing"]),
        ("weight missing", ["conv_out.bias is missing"]),
        ("not finite", ["conv_in.weight", "not finite"]),
        ("one frame", ["one frame", "nothing between"]),
        ("4x VAE", ["enlarges 4 times", "Stable Diffusion 1.x"]),
        ("8x VAE", ["enlarges 8 times", "x4-upscaler-ema"]),
        ("no VAE", ["no VAE"]),
        ("no CLIP", ["no CLIP"]),
        ("wrong file", ["LaVie's base model", "lavie_vsr.pt"]),
        ("a motion", ["a MODEL of Load LaVie"]),
        ("Cross-Frame Model", ["attend to each other already"]),
    ],
)
def test_graphs_that_make_no_sense_are_refused(measured, case, words):
    assert all(word in measured["refusals"][case] for word in words), measured["refusals"][case]


@pytest.fixture(scope="module")
def files(server):
    """The three models and the x4 upscaler's VAE among the server's."""
    folder = server.base / "models" / "lavie"
    folder.mkdir(exist_ok=True)
    (server.base / "models" / "vae").mkdir(exist_ok=True)
    # One of them lies where people put checkpoints.
    write_lavie(folder / "lavie_base.safetensors", "base")
    write_lavie(folder / "lavie_interpolation.safetensors", "interpolation")
    write_lavie(server.base / "models" / "checkpoints" / "lavie_vsr.safetensors", "super_resolution")
    write_x4_vae(server.base / "models" / "vae" / "x4_vae.safetensors")


def cascade() -> dict:
    """Text to 2 frames, to 5, to four times the size."""
    shown = {"clip": ["demo", 1], "prompt": "a robot is walking in the desert", "num_steps": 2, "cfg": 4.0}
    prompts = {"positive": ["prompt", 0], "negative": ["empty", 0]}
    return {
        "demo": node("TAVLoadDemoModel"),
        "prompt": text(shown["prompt"]),
        "empty": text(""),
        "lavie": node("TAVLoadLaVie", model_name="lavie_base.safetensors"),
        "space": node("EmptyLatentImage", width=48, height=32, batch_size=2),
        "sample": node(
            "KSampler",
            model=["lavie", 0],
            **prompts,
            latent_image=["space", 0],
            seed=1,
            steps=2,
            cfg=4.0,
            sampler_name="ddim",
            scheduler="ddim_uniform",
            denoise=1.0,
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["demo", 2]),
        "between": node(
            "TAVInterpolateFrames",
            images=["decode", 0],
            model_name="lavie_interpolation.safetensors",
            vae=["demo", 2],
            **shown,
            interpolate_seed=1,
            fps=8.0,
            negative="None",
            prompt_suffix=", 4k.",
            window=16,
            window_overlap=4,
        ),
        "x4": node("VAELoader", vae_name="x4_vae.safetensors"),
        "larger": node(
            "TAVUpscaleVideo",
            images=["between", 0],
            model_name="checkpoints/lavie_vsr.safetensors",
            vae=["x4", 0],
            **shown,
            noise_level=50,
            upscale_seed=1,
            negative="blur, worst quality",
            chunk=4,
            chunk_overlap=1,
        ),
        "save": node("SaveImage", images=["larger", 0], filename_prefix="cascade"),
    }


def test_the_cascade_runs_in_one_graph(server, files):
    from PIL import Image

    client = server.connect()
    done = client.run(cascade())
    client.close()
    assert error_of(done) == ""
    images = done["outputs"]["save"]["images"]
    with Image.open(server.base / "output" / images[0]["filename"]) as picture:
        assert len(images) == 5 and picture.size == (192, 128)
    steps = {message["data"]["node"] for message in client.messages if message["type"] == "progress"}
    assert {"sample", "between", "larger"} <= steps and client.previews


def test_an_edit_of_a_tuned_model_goes_on_to_it(server, files):
    graph, whole = edit_graph(run_name="lavie"), cascade()
    between = changed(whole, "between", prompt=EDITED)["between"]
    graph |= {"between": between, "larger": whole["larger"], "x4": whole["x4"]}
    # What is upscaled is kept small, because that takes long.
    graph["small"] = node(
        "ImageScale", image=["between", 0], width=32, height=32, upscale_method="area", crop="disabled"
    )
    graph = changed(graph, "larger", images=["small", 0])
    graph = {name: node for name, node in graph.items() if name not in ("compare", "save")}
    graph["encode"] = node("VAEEncode", pixels=["some", 0], vae=["demo", 2])
    graph["some"] = node("ImageFromBatch", image=["demo", 3], batch_index=0, length=2)
    graph = changed(changed(graph, "tune", frames=["some", 0]), "larger", chunk=8, chunk_overlap=2)
    graph["video"] = node("CreateVideo", images=["larger", 0], fps=["between", 1])
    graph["save"] = node("SaveVideo", video=["video", 0], filename_prefix="edit", format="auto", codec="auto")
    client = server.connect()
    done = client.run(graph)
    client.close()
    assert error_of(done) == "" and done["outputs"]["save"]


@pytest.mark.parametrize(
    ("where", "change", "words"),
    [
        ("lavie", {"model_name": "lavie_interpolation.safetensors"}, "LaVie's interpolation"),
        ("between", {"window": 4, "window_overlap": 4}, "windows of 4 frames that overlap by 4"),
        ("between", {"num_steps": 0}, "num_steps"),
        ("larger", {"model_name": "gone.pt"}, "not there"),
    ],
)
def test_what_is_wrong_is_told_when_the_graph_is_queued(server, files, where, change, words):
    answer = server.post("/prompt", {"prompt": changed(cascade(), where, **change)})
    assert words in str(answer["node_errors"][where])


def test_files_are_listed_with_the_likely_one_first(server, files):
    names = [
        server.get(f"/object_info/{kind}")[kind]["input"]["required"]["model_name"]
        for kind in ("TAVLoadLaVie", "TAVInterpolateFrames", "TAVUpscaleVideo")
    ]
    options = [spec[1].get("options", spec[0]) if isinstance(spec[0], str) else spec[0] for spec in names]
    # Another test's files may lie in models/lavie beside these.
    hints = ("lavie_base", "lavie_interpolation", "lavie_vsr")
    assert all(hint in given[0] for given, hint in zip(options, hints, strict=True)), options
    mine = {"lavie_base.safetensors", "lavie_interpolation.safetensors", "checkpoints/lavie_vsr.safetensors"}
    assert all(mine <= set(given) for given in options), options
