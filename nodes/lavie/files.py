"""Which of LaVie's files a node offers, and what it says of a wrong one before anything runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ...tav_core.checkpoints.lavie_configs import PUBLISHED
from ...tav_core.errors import CheckpointError
from ..sockets.folders import find_lavie, fingerprint, list_lavie
from ..sockets.graph import explain

# Words in the names of files, by what is in them; a file is recognised by its content alone.
HINTS = {"base": ("base",), "interpolation": ("interp",), "super_resolution": ("vsr", "super", "upscal")}


def file_input(kind: str) -> io.Input:
    """The widget that chooses one of LaVie's files."""
    return io.Combo.Input(
        "model_name",
        options=list_lavie(HINTS[kind]),
        tooltip=(
            f"{PUBLISHED[kind]}, or the same as safetensors, in models/lavie; files with lavie in their names are also "
            "found in models/checkpoints and models/diffusion_models. Press R to refresh the list."
        ),
    )


def find_file(model_name: str) -> Path:
    """The path behind a name that the widget gives.

    Raises:
        CheckpointError: there is no such file any more.
    """
    path = find_lavie(model_name)
    if path is None:
        raise CheckpointError(
            got=f"model_name {model_name!r}, which is not there",
            expected="a file in models/lavie",
            mend="Put LaVie's file there, press R to refresh the list, and choose it.",
        )
    return path


def file_fingerprint(model_name: Any) -> str:
    """A text that changes when the file does, for ComfyUI's cache."""
    return fingerprint(find_lavie(model_name) if isinstance(model_name, str) else None)


async def why_refused(model_name: Any, kind: str) -> bool | str:
    """What `validate_inputs` says of a file: True if it holds the model that is wanted, else what it is.

    What stands at its beginning is read, and no weights, in a thread of its own, so that ComfyUI's server goes on
    answering. A name that is linked is checked when the node runs.
    """
    if not isinstance(model_name, str):
        return True

    def check() -> None:
        from ...tav_core.checkpoints.lavie import check_kind
        from ...tav_core.checkpoints.weight_files import open_weights

        check_kind(open_weights(find_file(model_name)), kind)

    return await asyncio.to_thread(explain, check)
