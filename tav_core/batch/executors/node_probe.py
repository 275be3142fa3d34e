"""What a machine says of itself to who wants to run jobs on it."""

from __future__ import annotations

import platform
import shutil
import uuid
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...version import __version__

# Files that are missing on a node are named up to here.
MOST_NAMED = 5


def probe_node(checks: Mapping[str, Any]) -> dict[str, Any]:
    """Looks at this machine.

    Args:
        checks: `files`: paths that must be there; `out`: the folder of the results.

    Returns:
        Versions, the files that are missing, whether `out` can be written to, and its free bytes.
    """
    missing = [path for path in checks.get("files", ()) if not Path(path).exists()]
    hidden = [f"{len(missing) - MOST_NAMED} more files"] if len(missing) > MOST_NAMED else []
    out = str(checks.get("out", "."))
    can_write, free = try_writing(Path(out))
    return {
        "host": platform.node(),
        "python": platform.python_version(),
        **{name: package_version(name) for name in ("torch", "diffusers", "transformers")},
        "pack": __version__,
        "cuda": cuda_version(),
        "missing": missing[:MOST_NAMED] + hidden,
        "out": out,
        "can_write": can_write,
        "free_bytes": free,
    }


def try_writing(folder: Path) -> tuple[bool, int]:
    """Whether a folder can be written to, and its free bytes."""
    trial = folder / f".probe-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
        return True, shutil.disk_usage(folder).free
    except OSError:
        return False, 0


def package_version(name: str) -> str:
    """The version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def cuda_version() -> str:
    """The CUDA that PyTorch was built for; "none" for a build for CPUs."""
    import torch

    return torch.version.cuda or "none"
