"""Puts a batch's videos where other benchmarks' own tools look for them.

loveu       loveu/<split>/<name>/<type>/00000.jpg               the competition's submission
vbench      vbench/<name>-<type>.mp4, prompts.json              VBench's --mode=custom_input
editboard   editboard/<name>/frame_00000.png ..., script.csv    EditBoard's --script, at 512x512
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ..atomic_files import whole_file
from ..cancelling import cancellable
from ..errors import ConfigError
from ..paths import as_file_name
from ..video.clip import read_clip
from ..video.mask import read_labels
from ..video.write import write_video
from .job_folder import JobFolder
from .manifest.editboard import COLUMNS
from .manifest.jobs import ClipJob, Edit

QUALITY = 95
EDITBOARD_SIDE = 512


class Rendered(NamedTuple):
    """An edit with its video."""

    job: ClipJob
    edit: Edit
    video: Path


def export(
    kind: str, jobs: Sequence[ClipJob], out: Path, ending: str, *, done: Collection[str] | None = None
) -> tuple[Path, int]:
    """Writes a batch's videos for another tool, in place of what an earlier export wrote; returns the folder, and how
    many edits are in it.

    Args:
        kind: one of `EXPORTS`.
        jobs: of the list.
        out: the batch's folder.
        ending: of its videos, "mp4" or "png".
        done: the videos to take, as `results.csv` names them; None for all that are there, also with other settings.

    Raises:
        ConfigError: no edit is done, or two clips have one name where the tool has one place for both.
    """
    found = [each for each in rendered(jobs, out, ending) if done is None or name_in(out, each.video) in done]
    if not found:
        raise ConfigError(
            got=f"--export {kind} for a batch without a video: {out}",
            expected="edits that are done",
            mend="Run the batch first, with the same list and --out.",
        )
    with whole_file(out / kind) as temporary:
        temporary.mkdir()
        EXPORTS[kind](found, temporary)
    return out / kind, len(found)


def name_in(out: Path, video: Path) -> str:
    """A video as `results.csv` names it."""
    return video.relative_to(out).as_posix()


def rendered(jobs: Sequence[ClipJob], out: Path, ending: str) -> Iterator[Rendered]:
    """The edits whose videos are there."""
    for job in jobs:
        for edit in job.edits:
            video = JobFolder(out / "jobs" / job.folder).video(edit.type, ending)
            if video.exists():
                yield Rendered(job, edit, video)


def frames_of(path: Path | str, job: ClipJob) -> Tensor:
    """The frames of a job's video, `f h w 3`."""
    read = job.config
    return read_clip(path, num_frames=read.num_frames, width=read.width, height=read.height, start=0, stride=1).frames


def export_loveu(found: Sequence[Rendered], folder: Path) -> None:
    """The folders that the competition's script reads."""

    def place(each: Rendered) -> str:
        return f"{safe(each.job.split or 'clips')}/{safe(each.job.name)}/{each.edit.type}"

    unique(found, place)
    for each in cancellable(found):
        write_pictures(folder / place(each), frames_of(each.video, each.job), "", ".jpg")


def export_vbench(found: Sequence[Rendered], folder: Path) -> None:
    """One folder of videos, and the prompt of each."""
    unique(found, lambda each: f"{safe(each.job.name)}-{each.edit.type}")
    prompts = {}
    for job, edit, video in cancellable(found):
        path = folder / f"{safe(job.name)}-{edit.type}.mp4"
        if video.suffix == ".mp4":
            with whole_file(path) as temporary:
                shutil.copyfile(video, temporary)
        else:
            clip = read_clip(job.clip, job.config)
            write_video(path, frames_of(video, job), fps=clip.fps)
        prompts[path.name] = edit.prompt
    with whole_file(folder / "prompts.json") as temporary:
        temporary.write_text(json.dumps(prompts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def export_editboard(found: Sequence[Rendered], folder: Path) -> None:
    """A folder of pictures for each clip, edit and mask, and the list of them."""
    unique(found, lambda each: f"{safe(each.job.name)}_{each.edit.type}")
    # A clip's own pictures are there once, so its name must be its own.
    unique(list({(job.clip, job.config): each for each in found for job in (each.job,)}.values()), clip_place)
    rows, written, masks = [], set(), dict[str, list[str]]()
    for job, edit, video in cancellable(found):
        name = clip_place(Rendered(job, edit, video))
        row = [f"./{name}", f"./{name}_{edit.type}", "", job.prompt, edit.prompt]
        if name not in written:
            write_pictures(folder / name, read_clip(job.clip, job.config).frames, "frame_", ".png", EDITBOARD_SIDE)
            written.add(name)
        write_pictures(folder / f"{name}_{edit.type}", frames_of(video, job), "frame_", ".png", EDITBOARD_SIDE)
        if where := edit.score_mask or edit.mask:
            known = masks.setdefault(name, [])
            if where not in known:
                known.append(where)
                write_mask(folder / mask_place(name, len(known)), job, where)
            row[2] = f"./{mask_place(name, known.index(where) + 1)}"
        rows.append(row)
    with whole_file(folder / "script.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def clip_place(each: Rendered) -> str:
    """The folder of a clip's pictures."""
    return safe(each.job.name)


def mask_place(name: str, number: int) -> str:
    """The folder of a clip's first mask, or of another one."""
    return f"{name}_mask" if number == 1 else f"{name}_mask-{number}"


def write_mask(place: Path, job: ClipJob, where: str) -> None:
    """Writes a mask as white pictures on black."""
    clip = read_clip(job.clip, job.config)
    mask = read_labels(where, clip)[..., None].expand(len(clip.frames), -1, -1, 3)
    write_pictures(place, mask, "frame_", ".png", EDITBOARD_SIDE)


EXPORTS = {"loveu": export_loveu, "vbench": export_vbench, "editboard": export_editboard}


def write_pictures(folder: Path, frames: Tensor, begin: str, ending: str, side: int = 0) -> None:
    """Writes frames as pictures, in place of those that were there.

    Args:
        begin, ending: of the files' names, around the number of five digits.
        side: of the pictures; 0 leaves them as they are.
    """
    pixels = frames.detach().cpu().float().clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    with whole_file(folder) as temporary:
        temporary.mkdir()
        for number, frame in enumerate(pixels):
            picture = Image.fromarray(frame)
            picture = picture.resize((side, side)) if side and picture.size != (side, side) else picture
            how = {"quality": QUALITY} if ending == ".jpg" else {}
            picture.save(temporary / f"{begin}{number:05d}{ending}", **how)


def safe(name: str) -> str:
    """A clip's name as the name of a folder; as it is, where it can be one."""
    plain = all(char.isalnum() or char in "-_" for char in name)
    return name if plain and name else as_file_name(name, empty="clip")


def unique(found: Sequence[Rendered], place: Callable[[Rendered], str]) -> None:
    """Raises `ConfigError` if two edits have one place."""
    seen: dict[str, Rendered] = {}
    for each in found:
        where = place(each)
        if where in seen:
            raise ConfigError(
                got=f"two edits for {where}: of {seen[where].job.clip} and of {each.job.clip}",
                expected="one name for a clip, and one type for an edit",
                mend="Give the clips names of their own, in the column name.",
            )
        seen[where] = each
