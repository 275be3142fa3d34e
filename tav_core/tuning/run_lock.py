"""One process at a time has a run: a lock beside its state, which the system lets go of when the process ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..atomic_files import remove_leftovers
from ..errors import ConfigError, explain_write_failure


@contextmanager
def hold(path: Path | None) -> Iterator[None]:
    """Keeps a run's file for this process. The system lets go of it when the process ends, however it ends.

    Args:
        path: the file, there or not; None holds nothing.

    Raises:
        ConfigError: another process, or another thread of this one, holds it.
        OutputError: the folder cannot be written to.
    """
    if path is None:
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    with explain_write_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open_locked(lock)
    if file is None:
        raise ConfigError(
            got=f"a run that is being tuned at this moment, {path}",
            expected="a run that no other process is at",
            mend="Wait for its end or cancel it, or choose another name.",
        )
    try:
        remove_leftovers(path)
        yield
    finally:
        release(file, lock)


def open_locked(lock: Path) -> IO[bytes] | None:
    """A lock's file, opened and locked; None if another has it."""
    while True:
        file = lock.open("ab")
        if not try_lock(file):
            file.close()
            return None
        # The one who had it may have removed it after it was opened here: such a file keeps nobody out.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                return file
        file.close()


def try_lock(file: IO[bytes]) -> bool:
    """Locks an open file without waiting. Where the file system knows no locks, everyone gets one."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def release(file: IO[bytes], lock: Path) -> None:
    """Lets go of a lock and removes its file, if nobody else has it open on a system that minds."""
    if os.name != "nt":
        lock.unlink(missing_ok=True)
    file.close()
    if os.name == "nt":
        with suppress(OSError):
            lock.unlink(missing_ok=True)
