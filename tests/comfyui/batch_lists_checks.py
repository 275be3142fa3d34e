"""What a batch makes of odd lists: names of clips, jobs, what is cached; inside a ComfyUI process; prints JSON.

Usage: COMFYUI_PATH=... python batch_lists_checks.py
"""

from __future__ import annotations

from host_checks import report

# After host_checks, which sets ComfyUI up.
import tempfile  # isort: skip
from pathlib import Path  # isort: skip

import folder_paths  # isort: skip
from tune_a_video_pack.nodes.batch import clip_list, edit_clips, load_clips, plan  # isort: skip
from tune_a_video_pack.nodes.batch.clip_list import ListedClip  # isort: skip
from tune_a_video_pack.nodes.video.clip_range import read_choice  # isort: skip
from tune_a_video_pack.tav_core.errors import TavError  # isort: skip

NAMES = (
    ["ski.mp4", "ski.gif", "Ski.MP4", "ski-mp4.mp4"],
    [
        "two bears.mp4",
        "two  bears.mp4",
        "trailing. .mp4",
        "...mp4",
        "스키.mp4",
        "e\u0301t\u00e9.mp4",
        "\u00e9t\u00e9.mp4",
    ],
    ["x" * 200 + ".mp4", "x" * 199 + "y.mp4"],
)


def refusal(check) -> str:
    try:
        check()
    except TavError as error:
        return str(error)
    return ""


def listed(*names: str, **widgets) -> list[ListedClip]:
    choice = read_choice({"num_frames": 4, "width": 64, "height": 64, **widgets})
    return [ListedClip(name=name, path=Path(f"{name}.mp4"), prompt="a bear", choice=choice) for name in names]


def name_clips() -> dict[str, object]:
    found = [load_clips.name_clips([Path(name) for name in names]) for names in NAMES]
    many = load_clips.name_clips([Path(f"{'a' * 80}{number}.mp4") for number in range(1000)])
    fewer = load_clips.name_clips([Path(f"{'a' * 80}{number}.mp4") for number in range(500, 1000)])
    return {"found": found, "many": len(set(many)), "stay": many[500:] == fewer}


def make_jobs() -> dict[str, object]:
    prompts = plan.split(["A fox!\n\n  a   fox \na fox", "a fox!"])
    opened: list[Path] = []
    clip_list.open_source = opened.append
    jobs = plan.make_jobs(listed("one", "two"), prompts, "")
    return {
        "prompts": prompts,
        "types": [edit.type for edit in jobs[0].edits],
        "opened": len(opened),
        "twice": refusal(lambda: plan.make_jobs(listed("one", "two", "one"), prompts, "")),
    }


def check_alone() -> list[bool]:
    def graph(*names: object) -> dict[str, object]:
        return {str(i): {"class_type": "TAVEditClips", "inputs": {"batch_name": name}} for i, name in enumerate(names)}

    graphs = [
        graph("a"),
        graph("a", "b"),
        graph("a", "A "),
        graph("a", ["7", 0]),
        graph("../a", "../a"),
        None,
        {"0": 3},
    ]
    return [refusal(lambda each=each: edit_clips.check_alone(each, "0")) == "" for each in graphs]


def times_lost() -> list[int]:
    folder_paths.set_output_directory(tempfile.mkdtemp())
    out = edit_clips.batch_path("lost")
    out.mkdir(parents=True)
    video = out / "a.mp4"
    video.write_bytes(b"video")
    edit_clips.WRITTEN[out] = [video]
    found = [edit_clips.times_lost("lost"), edit_clips.times_lost("lost")]
    video.unlink()
    return [*found, edit_clips.times_lost("lost"), edit_clips.times_lost("lost"), edit_clips.times_lost("never")]


if __name__ == "__main__":
    report({"names": name_clips, "jobs": make_jobs, "alone": check_alone, "lost": times_lost})
