"""Where files are kept: motions and LaVie among ComfyUI's models, runs in its output folder. No name leads out."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unicodedata import category

import folder_paths

from ...tav_core.errors import ConfigError

MOTIONS = "tav_motion"
RUNS = "tav_runs"
BATCHES = "tav_batches"
SUFFIX = ".safetensors"
LAVIE = "lavie"
# The small ones that come with the pack.
BUNDLED_LAVIE = Path(__file__).resolve().parents[2] / "demo" / "lavie" / "model"
TINY_LAVIE = "tiny_lavie_"
FLOW = "optical_flow"
FLOW_SUFFIXES = {".safetensors", ".sft", ".pt", ".pth"}
LAVIE_SUFFIXES = {".safetensors", ".sft", ".pt", ".pth", ".ckpt"}
# Other folders of ComfyUI's that people may put LaVie's files into. There, their names have to say so.
LAVIE_ELSEWHERE = ("checkpoints", "diffusion_models")
# Windows reserves these names for devices, with any extension.
PORTS = (port + digit for port in ("com", "lpt") for digit in "123456789¹²³")
RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$", *PORTS}
FORBIDDEN = '<>:"|?*\\/'
MAX_LENGTH = 100


def register_folders() -> None:
    """Tells ComfyUI of `models/tav_motion`, `models/lavie` and `models/optical_flow`, in addition to folders that a
    user's extra_model_paths.yaml names, and of the pack's own small LaVie.
    """
    for name, suffixes in ((MOTIONS, {SUFFIX}), (LAVIE, LAVIE_SUFFIXES), (FLOW, FLOW_SUFFIXES)):
        paths, _ = folder_paths.folder_names_and_paths.get(name, ([], set()))
        own = str(Path(folder_paths.models_dir) / name)
        folder_paths.folder_names_and_paths[name] = ([*paths, *([] if own in paths else [own])], suffixes)
    paths = folder_paths.folder_names_and_paths[LAVIE][0]
    if str(BUNDLED_LAVIE) not in paths:
        paths.append(str(BUNDLED_LAVIE))


def list_entries(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing if it cannot be read.

    For lists of a node's schema: an error there would keep ComfyUI from loading the whole pack.
    """
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def is_file(path: Path) -> bool:
    """Whether a path is a file; no if it cannot be looked at, where `Path.is_file` raises an error."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; no if it cannot be looked at."""
    try:
        return path.is_dir()
    except OSError:
        return False


def list_lavie(hints: tuple[str, ...]) -> list[str]:
    """LaVie's files, those whose names have one of the hints in them first, and a user's before those of the pack.

    A file in another folder than `models/lavie` is listed as "checkpoints/name".
    """
    names = list(folder_paths.get_filename_list(LAVIE))
    for folder in LAVIE_ELSEWHERE:
        named = (name for name in folder_paths.get_filename_list(folder) if LAVIE in name.lower())
        names += [f"{folder}/{name}" for name in named]

    def order(name: str) -> tuple[bool, bool]:
        return not any(hint in name.lower() for hint in hints), name.startswith(TINY_LAVIE)

    return sorted(names, key=order)


def find_lavie(name: str) -> Path | None:
    """The path of a file that `list_lavie` gives; None if there is none."""
    folder, _, rest = name.partition("/")
    found = folder_paths.get_full_path(LAVIE, name)
    if found is None and folder in LAVIE_ELSEWHERE:
        found = folder_paths.get_full_path(folder, rest)
    return None if found is None else Path(found)


def list_flow_weights() -> list[str]:
    """The files of RAFT's weights that Flow Guidance offers."""
    return folder_paths.get_filename_list(FLOW)


def find_flow_weights(name: str) -> Path:
    """The path of such a file.

    Raises:
        ConfigError: it is gone.
    """
    found = folder_paths.get_full_path(FLOW, name)
    if found is None:
        raise ConfigError(
            got=f"weights {name!r}, which are not in models/{FLOW}",
            expected="a file that the list shows, or none",
            mend="Refresh the node definitions and choose again.",
        )
    return Path(found)


def list_motions() -> list[str]:
    """The motion files that Load Motion offers."""
    return folder_paths.get_filename_list(MOTIONS)


def find_motion(name: str) -> Path | None:
    """The path of a motion file that Load Motion offers; None if there is none."""
    found = folder_paths.get_full_path(MOTIONS, name)
    return None if found is None else Path(found)


def motion_path(name: str) -> Path:
    """The path that a motion of this name is written to."""
    folders, _ = folder_paths.folder_names_and_paths[MOTIONS]
    return Path(folders[0]) / (check_name(name) + SUFFIX)


def run_path(name: str) -> Path:
    """The path of the resumable state of a run of this name."""
    return Path(folder_paths.get_output_directory()) / RUNS / (check_name(name) + SUFFIX)


def look_path(name: str, slot: str) -> Path:
    """The path of a LoRA of what a clip of a run looks like: where ComfyUI's own Save LoRA writes, and its Load LoRA
    finds it.
    """
    return Path(folder_paths.get_output_directory()) / "loras" / f"{check_name(name)}_look_{slot}{SUFFIX}"


def batch_path(name: str) -> Path:
    """The folder of a batch of this name."""
    return Path(folder_paths.get_output_directory()) / BATCHES / check_name(name)


def shorter_run_path(state: Path, num_steps: int) -> Path:
    """The path of the state of a run that stops earlier than the run of the same name has come."""
    return state.with_name(f"{state.stem} ({num_steps} steps){state.suffix}")


def find_given(name: Any) -> Path | None:
    """The file that a widget such as Load Clip's names; None if it is not there, or not in one of ComfyUI's folders."""
    if not isinstance(name, str) or not folder_paths.exists_annotated_filepath(name):
        return None
    path = Path(folder_paths.get_annotated_filepath(name)).resolve()
    places = (folder_paths.get_input_directory, folder_paths.get_output_directory, folder_paths.get_temp_directory)
    inside = any(path.is_relative_to(Path(place()).resolve()) for place in places)
    return path if inside and path.is_file() else None


def fingerprint(path: Path | None) -> str:
    """A text that changes when a file does, for ComfyUI's cache; a file may vanish while it is looked at."""
    try:
        about = path.stat() if path else None
    except OSError:
        about = None
    return f"{about.st_mtime_ns} {about.st_size}" if about else "gone"


def check_name(name: str) -> str:
    """A name, without its extension, that is safe as a file name on every system.

    Raises:
        ConfigError: the name is empty, is a path, or cannot be written on some system.
    """
    bare = name.strip().removesuffix(SUFFIX).rstrip(". ")
    # Control characters, and the halves of characters that no encoding can write.
    unsafe = any(letter in FORBIDDEN or category(letter) in ("Cc", "Cs") for letter in bare)
    too_long = len(bare.encode(errors="replace")) > MAX_LENGTH
    reserved = bare.split(".")[0].strip().lower() in RESERVED
    if not bare or unsafe or too_long or reserved or bare.startswith("."):
        raise ConfigError(
            got=f"the name {name[:120]!r}",
            expected=f"a plain file name of up to {MAX_LENGTH} bytes, without folders or any of {FORBIDDEN}",
            mend="Use letters, digits, - and _.",
        )
    return bare
