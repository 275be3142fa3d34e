"""Only one process at a time can use a run: a lock file beside its state, which is released when the process ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..atomic_files import remove_leftovers
from ..errors import ConfigError, explain_write_failure


@contextmanager
def hold(path: Path | None) -> Iterator[None]:
    """Reserves a run's file for this process. The system releases it when the process ends, however it ends.

    Args:
        path: the file, which need not exist; None reserves nothing.

    Raises:
        ConfigError: another process, or another thread of this one, holds the file.
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
            expected="a run that no other process is using",
            mend="Wait until it ends or cancel it, or choose another name.",
        )
    try:
        remove_leftovers(path)
        yield
    finally:
        release(file, lock)


def open_locked(lock: Path) -> IO[bytes] | None:
    """Opens and locks a lock file; None if another process or thread holds the lock."""
    while True:
        file = lock.open("ab")
        if not try_lock(file):
            file.close()
            return None
        # The holder may have removed the file after it was opened here; a lock on such a file keeps nobody out.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                return file
        file.close()


def try_lock(file: IO[bytes]) -> bool:
    """Locks an open file without waiting. If the file system has no locks, it always succeeds."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def release(file: IO[bytes], lock: Path) -> None:
    """Releases a lock and removes its file; Windows keeps the file if another process has it open."""
    if sys.platform != "win32":
        lock.unlink(missing_ok=True)
    file.close()
    if sys.platform == "win32":
        with suppress(OSError):
            lock.unlink(missing_ok=True)
