"""What widgets and links tell is said when a graph is queued, before any node runs; and how errors are shown."""

from __future__ import annotations

import shutil

import pytest

from tests.comfyui.graphs import CLIP, LABELS, OPTIONS, TUNE, changed, clip_graph, edit_graph, node, tune_graph
from tests.comfyui.server import PACK, error_of
from tests.comfyui.test_wrong_inputs import one_frame


def with_node(graph, name, made, **links):
    """A graph with one more node, which is linked to inputs of others: {node_input: output}."""
    graph = {**graph, name: made}
    for target, output in links.items():
        at, _, socket = target.partition("__")
        graph = changed(graph, at, **{socket: [name, output]})
    return graph


def still(name="frame.png"):
    return with_node(tune_graph(), "still", node("LoadImage", image=name), tune__frames=0)


def starting(made):
    """An edit from the latent of another node, with the trajectory of the inversion."""
    return with_node(edit_graph(), "start", made, edit__latent=0)


def masked():
    graph = changed(edit_graph(), "edit", trajectory=None)
    return with_node(graph, "mask", node("SolidMask", value=1.0, width=128, height=128), edit__mask=0)


def windows(length, overlap):
    made = node("TAVContextWindows", model=["apply", 0], length=length, overlap=overlap)
    return with_node(edit_graph(), "windows", made, invert__model=0)


def stop(**changes):
    judge = {"clip_model": "none", "prompt": "a", "source_prompt": "b", "patience": 2}
    return with_node(tune_graph(**changes), "stop", node("TAVStopEarly", **judge), tune__stop_early=0)


def report(**changes):
    given = {"video_a": ["demo", 3], "fps": 8.0, "name": "x", "run_name": "", **LABELS, **changes}
    return {"demo": node("TAVLoadDemoModel"), "report": node("TAVReport", **given)}


def with_clip(**changes):
    return with_node(tune_graph(), "load", node("TAVLoadClip", **{**CLIP, **changes}), tune__frames=0)


def alone(method):
    graph = changed(edit_graph(), "invert", method=method)
    del graph["edit"]["inputs"]["trajectory"]
    return graph


# Files of which ComfyUI's Load Image gives every frame.
MOVING = ("three.gif", "three.webp", "three.png")
WARM = {**OPTIONS, "warmup_steps": TUNE["num_steps"] + 1}
# name: (graph, the node that is marked, words of its message)
CASES = {
    "two reports of one name": (
        with_node(report(), "other", report(name="X")["report"]),
        "report",
        "two Reports with the name x",
    ),
    "a name that is a path": (tune_graph(run_name="../x"), "tune", "without folders"),
    "a warm-up longer than the run": (
        with_node(tune_graph(), "options", node("TAVTuneOptions", **WARM), tune__options=0),
        "tune",
        "warmup_steps 5 in a run of 4 steps",
    ),
    "no steps from nothing": (tune_graph(num_steps=0), "tune", "num_steps 0 without a motion"),
    "no previews to score": (stop(), "tune", "preview_every 0"),
    "previews without an edit to score": (stop(preview_every=2), "tune", "without preview_positive"),
    "nothing to score with": (stop(preview_every=2), "stop", "Choose a clip_model"),
    "one frame of a video": (with_clip(num_frames=1), "tune", "a single picture has no motion"),
    "a picture for a video": (still(), "tune", "a single picture has no motion"),
    "steps that differ": (changed(edit_graph(), "edit", num_steps=5), "edit", "5 sampling steps for an inversion of 3"),
    "the clip for its noise": (
        starting(node("VAEEncode", pixels=["demo", 3], vae=["demo", 2])),
        "edit",
        "the latent of VAEEncode, which holds no noise",
    ),
    "nothing for noise": (
        starting(node("EmptyLatentImage", width=128, height=128, batch_size=8)),
        "edit",
        "Sample Edit adds none of its own",
    ),
    "a mask alone": (masked(), "edit", "Connect the trajectory"),
    "noise after an exact inversion": (
        changed(changed(edit_graph(), "invert", method="o_belm"), "edit", eta=0.5),
        "edit",
        "eta 0.5 for an inversion by o_belm",
    ),
    "an inversion with steps of its own, alone": (
        alone("dpmpp_2m"),
        "edit",
        "a latent inverted by dpmpp_2m, without the trajectory",
    ),
    "windows that overlap in full": (windows(8, 8), "windows", "an overlap below the length"),
    "a report as a path": (report(name="a/b"), "report", "without folders"),
    "a clip that is too short": (clip_graph(num_frames=500), "load", "Lower num_frames to 8"),
    "a clip that is no video": (clip_graph(video="text.mp4"), "load", "cannot be read as a video"),
    "a clip of an odd size": (clip_graph(width=100), "load", "Set width to 96 or 104"),
    "an animation of one frame": (clip_graph(video="one.gif"), "load", "one frame in one.gif"),
}


@pytest.fixture(scope="module")
def inputs(server):
    """Files in ComfyUI's input folder that the cases name."""
    from PIL import Image

    folder = server.base / "input"
    shutil.copy(PACK / "demo" / "clip.mp4", folder / "clip.mp4")
    (folder / "text.mp4").write_text("this is no video")
    for name in ("frame.png", "one.gif"):
        Image.new("RGB", (96, 96)).save(folder / name)
    frames = [Image.new("RGB", (96, 96), (shade, 0, 0)) for shade in (0, 90, 180)]
    for name in MOVING:
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    return folder


@pytest.fixture
def client(server, inputs):
    client = server.connect()
    yield client
    client.close()


@pytest.mark.parametrize("case", CASES)
def test_is_said_before_anything_runs(client, case):
    graph, marked, words = CASES[case]
    errors = client.queue(graph)["node_errors"][marked]["errors"]
    assert len(errors) == 1, "one message, once"
    assert words in errors[0]["details"] and " Expected " in errors[0]["details"]


@pytest.mark.parametrize(
    "graph",
    [
        edit_graph(run_name="right"),
        windows(8, 2),
        clip_graph(),
        clip_graph(num_frames=500, if_short="take what there is"),
        changed(edit_graph(), "edit", trajectory=None, num_steps=5),
        *map(still, MOVING),
    ],
    ids=["an edit", "windows", "a clip", "a short clip that may be", "steps that no trajectory tells of", *MOVING],
)
def test_what_is_right_is_queued(client, graph):
    answer = client.queue(graph)
    assert answer["node_errors"] == {}
    client.server.post("/interrupt")
    client.server.post("/queue", {"delete": [answer["prompt_id"]]})


@pytest.mark.parametrize("name", MOVING[:2])
def test_a_clip_may_come_from_load_image(client, name):
    assert error_of(client.run(changed(still(name), "tune", run_name=f"from {name}", num_steps=1))) == ""


def test_an_empty_latent_that_comes_another_way_is_refused_when_the_edit_runs(client):
    empty = node("EmptyLatentImage", width=128, height=128, batch_size=8)
    graph = changed(with_node(edit_graph(), "empty_latent", empty), "edit", latent=["flipped", 0], trajectory=None)
    graph["flipped"] = node("LatentFlip", samples=["empty_latent", 0], flip_method="x-axis: vertically")
    assert "an empty latent, which holds no noise" in error_of(client.run(graph))


def test_an_inversion_without_a_motion_says_so(client):
    said = "DDIM Invert: The frames of this MODEL do not see each other"
    graph = edit_graph(run_name="seen", num_steps=1)
    assert error_of(client.run(graph)) == "" and said not in client.server.log_text()
    assert error_of(client.run(changed(graph, "invert", model=["demo", 0]))) == "" and said in client.server.log_text()


def test_widgets_that_are_linked_are_left_to_the_run(client):
    graph = with_node(edit_graph(run_name="linked"), "five", node("PrimitiveInt", value=5), edit__num_steps=0)
    assert "5 sampling steps for an inversion of 3" in error_of(client.run(graph))


def test_an_error_is_shown_by_its_own_name_and_sentence(client):
    """The page shows "type: message"; a pack's module is the path of its folder."""
    done = client.run(one_frame())
    (error,) = (about for kind, about in done["status"]["messages"] if kind == "execution_error")
    assert error["exception_type"] == "ClipError"
    assert error["exception_message"].startswith("Got one frame. Expected at least two")
    assert "Choose a video in Load Clip" in error["exception_message"]
