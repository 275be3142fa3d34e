"""A list of prompts over a folder of clips: files with names, one report, a clip that fails, a batch that goes on."""

from __future__ import annotations

import csv
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.comfyui.graphs import OPTIONS, Graph, node
from tests.comfyui.server import PACK, Client, Server, error_of

CAPTIONS = {"bear": "a bear is running in the snow", "Two Bears": "two bears are running"}
FIRST, SECOND = "an elephant is running in the snow", "a bear is running, sketch style"
NAMES = {FIRST: "an-elephant-is-running-in-the-snow", SECOND: "a-bear-is-running-sketch-style"}
READ = {"start": 0, "stride": 1, "num_frames": 4, "width": 64, "height": 64, "fit": "crop"}
EDIT = {
    "negative": "",
    "tuning_steps": 2,
    "learning_rate": 1e-3,
    "tune_seed": 33,
    "memory": "speed",
    "sampling_steps": 2,
    "cfg": 4.0,
    "clip_model": "none",
    "dino_model": "none",
}


@pytest.fixture(scope="module")
def clips(server: Server) -> Path:
    """A folder of two clips with captions, a third that is no video, and a fourth with too few frames."""
    folder = server.base / "input" / "clips"
    folder.mkdir()
    for name, caption in CAPTIONS.items():
        shutil.copy(PACK / "demo" / "clip.mp4", folder / f"{name}.mp4")
        (folder / f"{name}.txt").write_text(caption)
    return folder


def test_folders_that_are_linked_in_are_offered(server: Server, clips: Path, tmp_path: Path):
    shutil.copy(PACK / "demo" / "clip.mp4", tmp_path / "elsewhere.mp4")
    (server.base / "input" / "linked").symlink_to(tmp_path, target_is_directory=True)
    # One that leads around in a circle.
    (tmp_path / "around").symlink_to(server.base / "input", target_is_directory=True)
    try:
        spec = server.get("/object_info/TAVLoadClips")["TAVLoadClips"]["input"]["required"]["folder"]
    finally:
        (server.base / "input" / "linked").unlink()
    options = spec[1].get("options", spec[0]) if isinstance(spec[0], str) else spec[0]
    assert {"clips", "linked"} <= set(options) and not any("around" in option for option in options)


@pytest.fixture
def client(server: Server):
    client = server.connect()
    yield client
    client.close()


def batch_graph(name: str, prompts: str, *, folder: str = "clips", **changes: Any) -> Graph:
    """The whole batch on the demo model."""
    listed = {"folder": folder, "prompt": "", **READ, "keep_aspect": False, "if_short": "refuse"}
    links = {"model": ["demo", 0], "clip": ["demo", 1], "vae": ["demo", 2], "clips": ["list", 0]}
    return {
        "demo": node("TAVLoadDemoModel"),
        "list": node("TAVLoadClips", **{**listed, **{key: changes[key] for key in listed if key in changes}}),
        "edit": node(
            "TAVEditClips",
            **links,
            prompts=prompts,
            batch_name=name,
            **{**EDIT, **{key: changes[key] for key in EDIT if key in changes}},
        ),
        "report": node("TAVBatchReport", edits=["edit", 0]),
    }


def rows_of(server: Server, name: str) -> list[dict[str, str]]:
    with (server.base / "output" / "tav_batches" / name / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def stages_told(client: Client) -> list[str]:
    """The stages that the node said to begin, in order; the messages are the text of the running node."""
    texts = [message[8:].decode(errors="replace") for message in client.previews if b"clip " in message[:400]]
    return [text.partition(": ")[2] for text in texts if ": " in text and "clip" in text]


def test_every_clip_under_every_prompt_and_one_report(server, client, clips):
    graph = batch_graph("all", f"{FIRST}\n\n{SECOND}\n")
    graph["save"] = node("SaveVideo", video=["edit", 1], filename_prefix="batch/video", format="auto", codec="auto")
    done = client.run(graph)
    assert error_of(done) == ""
    out = server.base / "output" / "tav_batches" / "all"
    videos = {path.relative_to(out / "jobs").as_posix() for path in out.rglob("*.mp4")}
    assert videos == {f"{clip}/edits/{name}.mp4" for clip in ("bear", "two-bears") for name in NAMES.values()}
    rows = rows_of(server, "all")
    told = [(row["name"], row["prompt"], row["edit"], row["state"]) for row in rows]
    assert told == [
        (clip, caption, prompt, "done")
        for clip, caption in (("two-bears", CAPTIONS["Two Bears"]), ("bear", CAPTIONS["bear"]))
        for prompt in (FIRST, SECOND)
    ]
    assert all(float(row["warp_error"]) >= 0 for row in rows)
    page = (out / "index.html").read_text()
    assert "4 of 4 edits are done" in page and page.count("<img ") == 4
    assert done["outputs"]["report"]["text"] == [str(out / "index.html")]
    # Core's list: one video file for each.
    assert len(list((server.base / "output" / "batch").glob("video_*.mp4"))) == 4


def test_one_more_prompt_renders_that_alone(server, client, clips):
    assert error_of(client.run(batch_graph("more", FIRST))) == ""
    out = server.base / "output" / "tav_batches" / "more" / "jobs"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.suffix in (".mp4", ".safetensors")}
    assert len(before) == 2 * 3
    assert error_of(client.run(batch_graph("more", f"{FIRST}\n{SECOND}"))) == ""
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.suffix in (".mp4", ".safetensors")}
    assert {path.name for path in after.keys() - before.keys()} == {f"{NAMES[SECOND]}.mp4"}
    assert all(after[path] == when for path, when in before.items())
    # Another setting of the sampling leaves the motion, and another of the tuning leaves nothing.
    assert error_of(client.run(batch_graph("more", FIRST, cfg=2.0))) == ""
    changed = {path.suffix for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert changed == {".mp4"}
    # Tune Options with its defaults changes nothing.
    graph = batch_graph("more", FIRST, cfg=2.0)
    graph["options"] = node("TAVTuneOptions", **OPTIONS)
    graph["edit"]["inputs"]["options"] = ["options", 0]
    now = {path: path.stat().st_mtime_ns for path in before}
    assert error_of(client.run(graph)) == "" and now == {path: path.stat().st_mtime_ns for path in before}
    assert error_of(client.run(batch_graph("more", FIRST, tune_seed=1))) == ""
    assert all(path.stat().st_mtime_ns != when for path, when in before.items())


def test_a_lora_makes_another_model(server, client, clips):
    """A batch of the same name is done anew with it, and what it had without it is not taken for it."""
    import torch
    from safetensors.torch import save_file

    layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_q"
    lora = {f"{layer}.lora_down.weight": torch.randn(2, 192), f"{layer}.lora_up.weight": torch.randn(192, 2)}
    save_file(lora, server.base / "models" / "loras" / "batch.safetensors")
    graph = batch_graph("lora", FIRST)
    assert error_of(client.run(graph)) == ""
    motion = server.base / "output" / "tav_batches" / "lora" / "jobs" / "bear" / "motion.safetensors"
    plain = motion.read_bytes()
    sockets = {"model": ["demo", 0], "clip": ["demo", 1], "lora_name": "batch.safetensors", "strength_clip": 1.0}
    graph["lora"] = node("LoraLoader", **sockets, strength_model=1.0)
    graph["edit"]["inputs"]["model"] = ["lora", 0]
    assert error_of(client.run(graph)) == ""
    assert motion.read_bytes() != plain


def test_a_clip_that_fails_is_named_and_leaves_the_others(server, client, clips):
    folder = server.base / "input" / "some broken"
    shutil.copytree(clips, folder)
    (folder / "broken.mp4").write_bytes(b"no video" * 100)
    (folder / "broken.txt").write_text("nothing")
    done = client.run(batch_graph("broken", FIRST, folder="some broken"))
    assert error_of(done) == ""
    rows = {row["name"]: row for row in rows_of(server, "broken")}
    assert rows["broken"]["state"] == "failed" and "broken.mp4" in rows["broken"]["error"]
    assert {row["state"] for name, row in rows.items() if name != "broken"} == {"done"}
    assert "2 of 3 edits are done" in done["outputs"]["edit"]["text"][0]
    page = (server.base / "output" / "tav_batches" / "broken" / "index.html").read_text()
    assert "2 of 3 edits are done" in page and '<tr class="failed"' in page


def test_a_batch_of_which_nothing_can_be_made_says_why(server, client, clips):
    told = error_of(client.run(batch_graph("none", FIRST, num_frames=500)))
    assert "bear" in told and "two-bears" in told and "frames" in told and "Mend" in told


def test_clips_without_a_caption_are_named_before_anything_runs(server, client, clips):
    folder = server.base / "input" / "silent"
    folder.mkdir()
    shutil.copy(clips / "bear.mp4", folder / "silent.mp4")
    assert "silent.mp4" in error_of(client.run(batch_graph("silent", FIRST, folder="silent")))
    assert error_of(client.run(batch_graph("silent", FIRST, folder="silent", prompt="a bear"))) == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"folder": "../models"}, "folder"), ({"prompts": " \n"}, "no prompt"), ({"batch_name": "../x"}, "name")],
)
def test_what_cannot_be_is_refused_when_it_is_queued(client, clips, changes, told):
    graph = batch_graph(changes.pop("batch_name", "refused"), changes.pop("prompts", FIRST), **changes)
    answer = client.queue(graph)
    assert told in str(answer["node_errors"])


def test_a_cancelled_batch_goes_on_where_it_was(server, client, clips):
    graph = batch_graph("cancelled", FIRST, tuning_steps=40)
    answer = client.queue(graph)
    jobs = server.base / "output" / "tav_batches" / "cancelled" / "jobs"
    threading.Thread(target=cancel_later, args=(server, client, answer["prompt_id"])).start()
    done = client.wait(answer["prompt_id"])
    assert any(kind == "execution_interrupted" for kind, _ in done["status"]["messages"])
    (state,) = jobs.glob("*/tuning-*.safetensors")
    assert state.stat().st_size > 10_000
    assert not (state.parent / "motion.safetensors").exists()
    assert error_of(client.run(graph)) == ""
    assert [row["state"] for row in rows_of(server, "cancelled")] == ["done", "done"]
    assert not list(jobs.glob("*/tuning-*.safetensors"))


def cancel_later(server: Server, client: Client, prompt_id: str) -> None:
    """Cancels once a tuning has made some steps."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any(m["type"] == "progress" and m["data"]["value"] >= 3 for m in list(client.messages)):
            break
        time.sleep(0.05)
    server.post("/interrupt")


@pytest.fixture(scope="module")
def lists(run_checks) -> dict[str, Any]:
    return run_checks("batch_lists_checks.py")


def test_clips_of_odd_names_have_folders_of_their_own_that_stay(lists):
    (first, *others), odd, long = lists["names"]["found"]
    assert others[0] == "ski-gif" and others[2] == "ski-mp4-mp4"
    assert all(re.fullmatch("ski-[0-9a-f]{8}", name) for name in (first, others[1])) and first != others[1]
    assert (odd[2], odd[4]) == ("trailing", "스키") and re.fullmatch("clip-[0-9a-f]{6}", odd[3])
    for names in (odd, long, [first, *others]):
        assert len({name.casefold() for name in names}) == len(names)
        assert not any(set(name) & set("/\\. ") for name in names)
    assert lists["names"]["many"] == 1000 and lists["names"]["stay"]


def test_jobs_have_a_name_for_each_edit_and_read_no_clip_that_they_need_not(lists):
    found = lists["jobs"]
    assert found["prompts"] == ["A fox!", "a fox", "a fox!"] and found["types"] == ["a-fox", "a-fox-2", "a-fox-3"]
    assert found["opened"] == 0 and "several clips with the name one" in found["twice"]


def test_two_nodes_do_not_write_into_one_folder(client, clips, lists):
    assert lists["alone"] == [True, True, False, True, True, True, True]
    graph = batch_graph("same", FIRST)
    graph["again"] = batch_graph("SAME", SECOND, cfg=2.0)["edit"]
    assert "two Edit Clips with the batch_name same" in str(client.queue(graph)["node_errors"])


def test_videos_that_have_gone_are_noticed_once(lists):
    assert lists["lost"] == [0, 0, 1, 1, 0]


@pytest.fixture(scope="module")
def held(run_checks) -> dict[str, Any]:
    return run_checks("batch_checks.py")


def test_memory_does_not_grow_with_the_list(held):
    """The clip and its edit are alive whenever one of eight is written, as with a single one, and none afterwards."""
    assert held["one"] == [2, 0] and held["many"] == [*[2] * 8, 0]


def test_what_failed_for_want_of_memory_is_tried_again_at_the_next_run(held):
    """A refusal would only come again: ComfyUI's cache keeps it."""
    found = {"states": ["failed", "done"], "then": ["done", "done"]}
    assert held["memory"] == {**found, "tried again": 1}
    assert held["refused"] == {**found, "tried again": 0}
