"""What a file of weights is by its content. Its name may say something else, or nothing."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ..errors import CheckpointError

SAFETENSORS, PICKLE = "safetensors", "pickle"
# safetensors itself refuses longer headers.
LONGEST_HEADER = 100_000_000
HEAD = 512
# Zip archives, in which torch saves, and pickles of protocol 2 and later. Protocol 1 and 0 have no mark.
ZIP, PICKLES = b"PK\x03\x04", tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
TORCH_MEMBER, SCRIPT_MEMBER = "data.pkl", "constants.pkl"
DOWNLOAD = "Download the complete file (with `git lfs pull` in a git clone)."
ACCESS = "Download it again, signed in to the site if it asks for that."
UNPACK = "Unpack it and give the file of weights in it."
OTHER = "Give the .safetensors of this model."
# The beginnings of other files that are found under a model's name, what they are, and what to do.
MARKS = {
    b"version https://git-lfs": ("a Git LFS pointer", DOWNLOAD),
    b"<!doctype html": ("a web page", ACCESS),
    b"<html": ("a web page", ACCESS),
    b"<!--": ("a web page", ACCESS),
    b"<?xml": ("a server's answer in XML", ACCESS),
    b"<error": ("a server's answer in XML", ACCESS),
    b"gguf": ("a GGUF file, whose weights are quantized,", OTHER),
    b"ggml": ("a GGML file, whose weights are quantized,", OTHER),
    b"pk\x05\x06": ("an empty ZIP archive", UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", UNPACK),
    b"rar!\x1a\x07": ("a RAR archive", UNPACK),
    b"\x1f\x8b": ("a gzip archive", UNPACK),
    b"bzh": ("a bzip2 archive", UNPACK),
    b"\xfd7zxz": ("an xz archive", UNPACK),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", UNPACK),
    b"\x89hdf": ("an HDF5 file, as Keras writes,", OTHER),
    b"\x89png": ("a PNG picture", OTHER),
    b"\xff\xd8\xff": ("a JPEG picture", OTHER),
    b"riff": ("a WebP picture, a WAV or an AVI file,", OTHER),
    b"\x93numpy": ("a NumPy array", OTHER),
}
# Signs that a download has not ended yet.
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".incomplete", ".aria2", ".tmp")


def find_kind(path: Path) -> str:
    """`SAFETENSORS`, `PICKLE` (in a zip archive of torch, or plain), or "" if the content shows neither."""
    head = _read_head(path)
    length = int.from_bytes(head[:8], "little")
    if len(head) > 8 and head[8:9] == b"{" and 2 <= length <= LONGEST_HEADER:
        return SAFETENSORS
    if head.startswith(PICKLES) or (head.startswith(ZIP) and _other_zip(path) is None):
        return PICKLE
    return ""


def refuse_other_content(path: Path, *, text: bool) -> None:
    """Refuses what is certainly no file of weights, and names it.

    Args:
        text: whether any text is refused, too.

    Raises:
        CheckpointError: a web page, a Git LFS pointer, an archive, a picture, a GGUF file, zeros.
    """
    head = _read_head(path)
    if found := _name_other(path, head) or (_name_text(head) if text else None):
        title, mend = found
        raise CheckpointError(
            got=f"{path}, {title} of {path.stat().st_size} bytes, which cannot be read as weights",
            expected="the weights themselves",
            mend=mend,
        )


def _name_other(path: Path, head: bytes) -> tuple[str, str] | None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if found := next((found for mark, found in MARKS.items() if start.startswith(mark)), None):
        return found
    if head[257:262] == b"ustar":
        return "a TAR archive", UNPACK
    if head.startswith(ZIP):
        return _other_zip(path)
    if head and not head.strip(b"\0"):
        return "a file that begins with zeros, as a download that has not ended,", DOWNLOAD
    return None


def _name_text(head: bytes) -> tuple[str, str] | None:
    """What a text is. Pickles of protocol 0 look like one, and end with a full stop."""
    start = head.decode("ascii", "replace").strip()
    readable = head.isascii() and all(letter.isprintable() or letter in "\t\r\n" for letter in start)
    if len(start) < 2 or not readable or start.endswith("."):
        return None
    return f"a text that begins with {start.splitlines()[0][:60]!r}, a file", ACCESS


def _other_zip(path: Path) -> tuple[str, str] | None:
    """What a zip archive is that torch did not write; None for torch's, and for one that is cut short."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    if not names:
        return None
    bare = {name.rsplit("/", 1)[-1] for name in names}
    if SCRIPT_MEMBER in bare:
        return "a TorchScript program, a file", OTHER
    if TORCH_MEMBER in bare:
        return None
    return f"a ZIP archive with {names[0]!r} in it,", UNPACK


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise CheckpointError(
            got=f"{path}, which cannot be opened ({error.strerror or error})",
            expected="a file that may be read",
            mend="Check its permissions and its disk.",
        ) from error
