"""What nodes list and look up when folders cannot be read, or a name comes over a wire; prints JSON.

Usage: COMFYUI_PATH=... python listing_checks.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from host_checks import report

# After host_checks, which sets ComfyUI up.
from tune_a_video_pack.nodes.batch.load_clips import LoadClips  # isort: skip
from tune_a_video_pack.nodes.core.demo import load_demo_mask  # isort: skip
from tune_a_video_pack.nodes.core.frames import encode_frames  # isort: skip
from tune_a_video_pack.nodes.core.weights_hash import hash_vae  # isort: skip
from tune_a_video_pack.nodes.sockets.folders import is_file, is_folder, list_entries  # isort: skip
from tune_a_video_pack.nodes.tuning.motion_files import LoadMotion  # isort: skip
from tune_a_video_pack.nodes.video.load_clip import LoadClip  # isort: skip


class Locked(type(Path())):
    """A path behind a folder that may not be entered."""

    def stat(self, **how):
        raise PermissionError("no entry")

    def iterdir(self):
        raise PermissionError("no entry")


class NoVAE:
    """What ComfyUI gives for a checkpoint without a VAE."""

    first_stage_model = None


def refusal(call) -> str:
    """The class of the error that a call raises."""
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return ""


def mask_without_opencv() -> list[int]:
    """The shape of the demo's mask where OpenCV cannot open its file, as on Windows below a folder named Jürgen."""
    sys.modules["cv2"] = None
    return list(load_demo_mask().shape)


report(
    {
        "locked": lambda: [list_entries(Locked("a")), is_file(Locked("a")), is_folder(Locked("a"))],
        "wired": lambda: [
            LoadMotion.validate_inputs(),
            *(node.fingerprint_inputs() for node in (LoadMotion, LoadClip, LoadClips)),
        ],
        "no VAE": lambda: [
            refusal(lambda: hash_vae(NoVAE())),
            refusal(lambda: encode_frames(NoVAE(), None, on_frame=print)),
        ],
        "mask": mask_without_opencv,
    }
)
