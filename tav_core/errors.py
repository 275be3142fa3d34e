"""All errors that the library raises on purpose. Each message has three parts: got, expected, and what to do.

TavError
├── InputError (ValueError)       an input does not fit
│   ├── ClipError                 a video that cannot be read, or is too short
│   ├── CheckpointError           a model that is missing, broken, or of another family
│   ├── MotionError               a motion file that is broken, or made for another architecture
│   ├── PromptError               a prompt that the text encoder would cut
│   ├── LatentsError              latents of the wrong rank, size or frame count
│   ├── ManifestError             a list of clips and edits with mistakes in it
│   └── ConfigError               a setting out of its range, or one that contradicts another
│       └── FewerSteps            a run has done more steps than are asked for
├── OutputError (OSError)         a result that cannot be written
├── OutOfMemory (MemoryError)     the device ran out of memory
└── TuningDiverged (ArithmeticError)   the loss is no longer a number
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class TavError(Exception):
    """Base of all errors of this library.

    Args:
        got: what was found, with its value.
        expected: what would have been right.
        mend: what the user can do, as a full sentence.
    """

    def __init__(self, *, got: str, expected: str, mend: str) -> None:
        super().__init__(f"Got {got}. Expected {expected}. {mend}")
        self.got, self.expected, self.mend = got, expected, mend


class InputError(TavError, ValueError):
    """An input does not fit."""


class ClipError(InputError):
    """A video cannot be read, or has too few frames."""


class CheckpointError(InputError):
    """A model is missing, broken, or of a family that this library does not tune."""


class MotionError(InputError):
    """A motion file is broken, or was made for another architecture."""


class PromptError(InputError):
    """A prompt has more tokens than the text encoder takes."""


class LatentsError(InputError):
    """Latents have the wrong rank, size or number of frames."""


class ManifestError(InputError):
    """A list of clips and edits has mistakes; the message names them all, each with its line."""


class ConfigError(InputError):
    """A setting is out of its range, or contradicts another."""


class FewerSteps(ConfigError):
    """A tuning run has done more steps than are asked for, and steps cannot be undone."""


class OutputError(TavError, OSError):
    """A result cannot be written: no space, no permission, no such folder."""


class OutOfMemory(TavError, MemoryError):
    """The device ran out of memory."""


class TuningDiverged(TavError, ArithmeticError):
    """The loss is no longer a finite number."""


@contextmanager
def explain_out_of_memory(doing: str, mend: str) -> Iterator[None]:
    """Turns an out-of-memory error of a device or the host into `OutOfMemory`, which says what to lower.

    Args:
        doing: what was running, for example "tuning 24 frames at 512x512".
        mend: what to lower, as a full sentence.
    """
    import torch

    try:
        yield
    except OutOfMemory:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(got=f"out of memory while {doing}", expected="enough free memory", mend=mend) from error
    except RuntimeError as error:
        # PyTorch's CPU allocator has no exception class of its own, nor have MPS and some of CUDA's errors.
        if not any(words in str(error) for words in ("DefaultCPUAllocator", "not enough memory", "out of memory")):
            raise
        raise OutOfMemory(got=f"out of memory while {doing}", expected="enough free memory", mend=mend) from error


@contextmanager
def explain_write_failure(path: Path) -> Iterator[None]:
    """Turns an `OSError` while writing `path` into `OutputError`, which says what to free or change."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            got, mend = (
                "no space left on the disk",
                "Free some space or choose another folder; nothing was overwritten.",
            )
        else:
            got, mend = error.strerror or str(error), "Check that the folder exists and may be written to."
        raise OutputError(
            got=f"{got} while writing {path}", expected="a folder with room for the file", mend=mend
        ) from error
