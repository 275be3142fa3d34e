"""Reads any list of clips and edits, with all of its mistakes told at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...errors import ManifestError
from ...paths import check_input_path
from ...video.config import ClipConfig
from .csv_file import read_csv
from .davis import read_davis
from .editboard import read_editboard
from .five import read_five
from .jobs import ClipJob, build_jobs
from .loveu import read_loveu
from .prompts import check_prompts
from .rows import Problems, Row
from .yaml_file import read_yaml

Reader = Callable[[Path, Problems], list[Row]]
# Data sets by the word before the colon; all but EditBoard's are folders.
DATA_SETS: dict[str, Reader] = {
    "loveu": read_loveu,
    "davis": read_davis,
    "five": read_five,
    "editboard": read_editboard,
}
FILES: dict[str, Reader] = {".csv": read_csv, ".yaml": read_yaml, ".yml": read_yaml}


def read_manifest(
    source: str,
    *,
    defaults: ClipConfig | None = None,
    look_at_clips: bool = True,
    check_prompt: Callable[[str], None] | None = None,
    on_clip: Callable[[], None] = lambda: None,
) -> list[ClipJob]:
    """The jobs of a list: one per clip.

    Args:
        source: a .csv or .yaml file, or a data set: `loveu:FOLDER`, `davis:FOLDER`, `five:FOLDER`, `editboard:FILE`.
        defaults: how clips are read where the list does not say it.
        look_at_clips: whether to open every clip, to see that it can be read and is long enough.
        check_prompt: raises for a prompt that the text encoder would refuse; None to look at no prompt.
        on_clip: called after each clip that was looked at.

    Raises:
        ManifestError: there is no such list, or there are mistakes in it, all of which are named.
    """
    read, path = find_reader(source)
    problems = Problems(of=source)
    # Jobs may run in other folders, so their paths are whole ones.
    base = (path if path.is_dir() else path.parent).absolute()
    rows = read(path, problems)
    jobs = build_jobs(rows, base=base, defaults=defaults or ClipConfig(), problems=problems)
    if not jobs and not problems.found:
        problems.add("", "no edit")
    if check_prompt:
        check_prompts(jobs, problems, check_prompt)
    if look_at_clips and not problems.found:
        from .clips import check_clips

        check_clips(jobs, problems, on_clip)
    problems.refuse_any()
    return jobs


def find_reader(source: str) -> tuple[Reader, Path]:
    """What reads a source, and its path.

    Raises:
        ManifestError: it is of no kind that is known, or its folder is not there.
    """
    word, colon, rest = source.partition(":")
    if colon and word in DATA_SETS:
        path = check_input_path(rest, ManifestError)
        if not path.exists():
            raise ManifestError(
                got=f"{source}: {path} does not exist",
                expected=f"the folder of the data set {word}, unpacked",
                mend="Check the path. docs/evaluation.md says what to download.",
            )
        return DATA_SETS[word], path.absolute()
    path = check_input_path(source, ManifestError)
    if path.suffix.lower() not in FILES:
        raise ManifestError(
            got=f"{source}, whose ending says no format",
            expected=f"a file that ends in {', '.join(FILES)}, or one of {', '.join(f'{word}:' for word in DATA_SETS)}",
            mend="Give a list as CSV or YAML; docs/batch.md shows both.",
        )
    return FILES[path.suffix.lower()], path
