"""What a batch holds in memory, measured inside a ComfyUI process as host_checks.py does; prints JSON.

Usage: COMFYUI_PATH=... python batch_checks.py
"""

from __future__ import annotations

from host_checks import DEMO, report

# After host_checks, which sets ComfyUI up.
import gc  # isort: skip
import shutil  # isort: skip
import tempfile  # isort: skip
from pathlib import Path  # isort: skip
from types import SimpleNamespace  # isort: skip

import folder_paths  # isort: skip
import torch  # isort: skip
from comfy_api.latest import ui  # isort: skip
from tune_a_video_pack.nodes.batch import edit_clips  # isort: skip
from tune_a_video_pack.nodes.batch.clip_list import ListedClip  # isort: skip
from tune_a_video_pack.nodes.video.clip_range import read_choice  # isort: skip
from tune_a_video_pack.tav_core.batch import stages  # isort: skip
from tune_a_video_pack.tav_core.errors import InputError  # isort: skip

NUM_FRAMES, SIDE = 8, 64
SETTINGS = {
    "negative": "",
    "tuning_steps": 1,
    "learning_rate": 1e-3,
    "tune_seed": 33,
    "memory": "speed",
    "sampling_steps": 1,
    "cfg": 4.0,
    "clip_model": "none",
    "dino_model": "none",
}
PROMPTS = ("a fox is running", "a bear is running")


class Quiet:
    """A tuning that tells nothing."""

    early_stop = None

    def __call__(self, *args, **given) -> None:
        pass

    prepare = begin = end = on_begin = __call__


class Probe(edit_clips.EditClips):
    hidden = SimpleNamespace(unique_id="1")


def count_frames() -> int:
    """How many videos' frames `f h w 3` are alive; views of one count once."""
    gc.collect()
    shape = (NUM_FRAMES, SIDE, SIDE, 3)
    alive = (each for each in gc.get_objects() if torch.is_tensor(each) and tuple(each.shape) == shape)
    return len({each.untyped_storage().data_ptr() for each in alive})


def execute(num_clips: int, prompts: tuple[str, ...], name: str) -> tuple[list, list]:
    """The edits and the videos of a batch of copies of the demo's clip."""
    folder = Path(tempfile.mkdtemp())
    choice = read_choice({"num_frames": NUM_FRAMES, "width": SIDE, "height": SIDE})
    clips = [
        ListedClip(name=f"clip{i}", path=folder / f"clip{i}.mp4", prompt="a bear", choice=choice)
        for i in range(num_clips)
    ]
    for clip in clips:
        shutil.copy(Path(__file__).parents[2] / "demo" / "clip.mp4", clip.path)
    models = {"model": [DEMO.model], "clip": [DEMO.clip], "vae": [DEMO.vae], "batch_name": [name]}
    settings = {key: [value] for key, value in SETTINGS.items()}
    return Probe.execute(clips=clips, prompts=list(prompts), **models, **settings).args


def run(num_clips: int, prompts: tuple[str, ...], name: str) -> list[int]:
    """Videos alive whenever one was written, and at the end."""
    counts, write = [], stages.write_video

    def count_and_write(*args, **given):
        counts.append(count_frames())
        return write(*args, **given)

    stages.write_video = count_and_write
    edits, videos = execute(num_clips, prompts, name)
    stages.write_video = write
    assert len(edits) == len(videos) == num_clips * len(prompts)
    return [*counts, count_frames()]


def fail_once(error: Exception, name: str) -> dict[str, object]:
    """The states of two edits of which the first could not be written, and whether ComfyUI is told to try again."""
    write, errors = stages.write_video, [error]

    def fail_and_write(*args, **given):
        if errors:
            raise errors.pop()
        return write(*args, **given)

    stages.write_video = fail_and_write
    edits, _ = execute(1, PROMPTS, name)
    stages.write_video = write
    again, _ = execute(1, PROMPTS, f"{name} ")
    return {
        "states": [edit.row["state"] for edit in edits],
        "tried again": edit_clips.times_lost(name),
        "then": [edit.row["state"] for edit in again],
    }


folder_paths.set_output_directory(tempfile.mkdtemp())
edit_clips.watch = lambda *args: Quiet()
# There is no page to tell.
edit_clips.show_text = lambda cls, text: ui.PreviewText(text)
edit_clips.hide_live_preview = lambda node: None
report(
    {
        "one": lambda: run(1, PROMPTS[:1], "one"),
        "many": lambda: run(4, PROMPTS, "many"),
        "memory": lambda: fail_once(torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        "refused": lambda: fail_once(InputError(got="a", expected="b", mend="c"), "refused"),
    }
)
