"""Where results go, checked before the work: no folder stands in the place of a file, and nothing that is read is lost.

A batch and a study look after their own folders.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..atomic_files import check_output
from ..errors import ConfigError
from ..paths import check_output_path
from .inputs import split_scale
from .lavie import INTERPOLATED, UPSCALED, name_video
from .video_files import name_videos

# Commands whose --out is one file, with a name for it, and those whose --out is a folder of these files.
ONE_FILE = {
    "invert": "trajectory.safetensors",
    "reconstruct": "methods.json",
    "report": "report.html",
    "convert": "lavie.safetensors",
}
STATE = "state.safetensors"
IN_FOLDER = {
    "tune": ("motion.safetensors", STATE),
    "learn-start": ("start.safetensors", STATE),
    "tune-clips": ("motion.safetensors", STATE),
    "train-video": ("lavie_base.safetensors", STATE),
}
PER_PROMPT = ("edit", "generate", "instruct")
PER_CLIP = {"interpolate": INTERPOLATED, "upscale": UPSCALED}
# Options that are no input; and what is given without the name of an option.
RESULTS, UNNAMED = ("out", "out_mask"), {"path": "the file to convert"}


def check_outputs(args: argparse.Namespace) -> None:
    """Checks the paths that a command will write.

    Raises:
        ConfigError: one of them is a file or folder that the command reads.
        OutputError: it cannot be written, or a folder stands in its place.
    """
    example = ONE_FILE.get(args.command, "")
    for path in list_files(args):
        check_output(check_output_path(path), example=example)
    check_apart([given for name in RESULTS if (given := getattr(args, name, None))])
    for result in list_outputs(args):
        for given, option in list_inputs(args):
            check_other(result, given, option)
    for video in list_videos(args):
        check_output(check_output_path(video), folder=args.format == "png")


def list_files(args: argparse.Namespace) -> list[Path]:
    """The files that are no videos."""
    if args.command in ONE_FILE:
        return [args.out] if args.out else []
    return [args.out / name for name in IN_FOLDER.get(args.command, ())]


def list_videos(args: argparse.Namespace) -> list[Path | str]:
    """The videos in the folder of the results."""
    if args.command in PER_CLIP:
        return [name_video(args, PER_CLIP[args.command])]
    return [*name_videos(args)] if args.command in PER_PROMPT else []


def list_outputs(args: argparse.Namespace) -> list[Path | str]:
    """All files and folders that a command replaces, and what stands in the place of its folder."""
    named = [given for name in RESULTS if (given := getattr(args, name, None))]
    # Into another folder than animate's, results are written beside what is there.
    replaced = [path for path in named if args.command == "animate" or ((old := find(path)) and old.is_file())]
    return [*replaced, *list_files(args), *list_videos(args)]


def list_inputs(args: argparse.Namespace) -> Iterator[tuple[Path | str, str]]:
    """The paths that a command reads, each with the option that names it."""
    for name, value in vars(args).items():
        option = UNNAMED.get(name, f"--{name.replace('_', '-')}")
        if name not in RESULTS:
            yield from ((path, option) for path in paths_in(name, value))


def paths_in(name: str, value: Any) -> list[Path | str]:
    """The paths in the value of an option."""
    if name == "lora":
        return [split_scale(text)[0] for text in value]
    if name == "local_prompt":
        return [mask for _, mask in value]
    return [path for path in (value if isinstance(value, list) else [value]) if isinstance(path, Path)]


def check_apart(results: list[Path | str]) -> None:
    """Raises `ConfigError` if two results have one path."""
    places = [Path(result).expanduser().absolute() for result in results]
    if len(set(places)) < len(places):
        raise ConfigError(
            got=f"{results[-1]} for two results",
            expected="a path for each: one would replace the other",
            mend="Choose another --out-mask.",
        )


def check_other(output: Path | str, given: Path | str, option: str) -> None:
    """Raises `ConfigError` if a result would replace an input, or a folder that holds it."""
    old, read = find(output), find(given)
    if old is None or read is None:
        return
    if old.samefile(read) or old in read.parents:
        raise ConfigError(
            got=f"{output} for a result, which would replace what is read from it ({option})",
            expected="another place than those of the files that are read",
            mend="Choose another --out; nothing was overwritten.",
        )


def find(path: Path | str) -> Path | None:
    """Where a path leads, if something is there. What is wrong with a path is said where it is used."""
    try:
        return Path(path).expanduser().resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return None
