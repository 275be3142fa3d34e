"""Save Motion, Load Motion, Import Original: motions on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
import torch
from comfy_api.latest import io

from ...tav_core.errors import ConfigError, MotionError
from ..core.interrupt import interruptible
from ..sockets.folders import MOTIONS, find_motion, fingerprint, is_folder, list_entries, list_motions, motion_path
from ..sockets.graph import explain
from ..sockets.widgets import CATEGORY, Motion, schema

if TYPE_CHECKING:
    from ...tav_core.tuning import motion as motions

PRECISIONS = {"fp16": torch.float16, "fp32": torch.float32}
# Where a pipeline or UNet that the original saved may lie.
SOURCES = ("diffusers", "diffusion_models", MOTIONS)
ENDINGS = {".bin", ".safetensors", ".pt", ".pth", ".ckpt"}


class SaveMotion(io.ComfyNode):
    """Writes a motion to models/tav_motion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVSaveMotion",
            display_name="Save Motion",
            category=CATEGORY,
            description=(
                "Writes a motion to models/tav_motion under a name of your choice. One-Shot Tune has already saved "
                "its own result."
            ),
            search_aliases=["export motion", "safetensors"],
            is_output_node=True,
            inputs=[
                Motion.Input("motion", tooltip="From One-Shot Tune, Load Motion or Import Original."),
                io.String.Input("name", default="my_motion_copy", tooltip="File name, without folders or extension."),
                io.Combo.Input(
                    "precision",
                    options=list(PRECISIONS),
                    default="fp16",
                    tooltip="fp16 halves the file size; fp32 keeps every bit.",
                ),
                io.Boolean.Input(
                    "overwrite", default=False, tooltip="Replaces the motion if there is already one of this name."
                ),
            ],
            outputs=[Motion.Output("motion", display_name="motion", tooltip="The same motion, unchanged.")],
        )

    @classmethod
    @interruptible
    def execute(cls, motion: motions.Motion, name: str, precision: str, overwrite: bool) -> io.NodeOutput:
        path = motion_path(name)
        if path.exists() and not overwrite:
            raise ConfigError(
                got=f"name {name!r}, but there is already a motion of this name: {path}",
                expected="an unused name",
                mend="Choose another name, or turn overwrite on.",
            )
        motion.save(path, dtype=PRECISIONS[precision])
        return io.NodeOutput(motion)

    @classmethod
    def validate_inputs(cls, name: Any = None) -> bool | str:
        return explain(lambda: motion_path(name)) if isinstance(name, str) else True


class LoadMotion(io.ComfyNode):
    """Reads a motion from models/tav_motion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVLoadMotion",
            display_name="Load Motion",
            category=CATEGORY,
            description="Reads a tuned motion from models/tav_motion.",
            search_aliases=["import motion", "motion lora"],
            inputs=[
                io.Combo.Input(
                    "motion_name",
                    options=list_motions(),
                    tooltip="A file in models/tav_motion; press R to refresh the list.",
                )
            ],
            outputs=[Motion.Output("motion", display_name="motion", tooltip="For Apply Motion.")],
        )

    @classmethod
    @interruptible
    def execute(cls, motion_name: str) -> io.NodeOutput:
        from ...tav_core.tuning.motion import Motion

        path = find_motion(motion_name)
        if path is None:
            raise MotionError(
                got=f"motion_name {motion_name!r}, a file that has gone since the graph was queued",
                expected="a file in models/tav_motion",
                mend="Put it back, or press R to refresh the list and choose another.",
            )
        return io.NodeOutput(Motion.load(path))

    @classmethod
    def fingerprint_inputs(cls, motion_name: str | None = None) -> str:
        return fingerprint(find_motion(motion_name) if motion_name else None)

    @classmethod
    def validate_inputs(cls, motion_name: str | None = None) -> bool | str:
        # None for a name that comes over a wire.
        if motion_name is None or find_motion(motion_name) is not None:
            return True
        return f"Got {motion_name!r}. Expected a file in models/tav_motion. Tune a clip, or copy one there."


class ImportOriginal(io.ComfyNode):
    """Converts what the original implementation saved into a motion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVImportOriginal",
            display_name="Import Original",
            category=CATEGORY,
            description=(
                "Converts a pipeline folder or UNet file saved by the original Tune-A-Video into a motion. Put the "
                "folder or file into models/diffusers, models/diffusion_models or models/tav_motion."
            ),
            search_aliases=["convert tune-a-video", "original pipeline"],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint that the original was tuned on."),
                io.Combo.Input(
                    "source",
                    options=list_sources(),
                    tooltip="A folder or file that the original saved; press R to refresh the list.",
                ),
            ],
            outputs=[Motion.Output("motion", display_name="motion", tooltip="For Apply Motion and Save Motion.")],
        )

    @classmethod
    @interruptible
    def execute(cls, model: Any, source: str) -> io.NodeOutput:
        from ...tav_core.checkpoints.load import load_original_unet
        from ...tav_core.tuning.motion import check_original_tunes, import_original
        from ..core.unet import check_model, read_config, read_unet

        check_model(model)
        check_original_tunes(read_config(model))
        with torch.inference_mode(False), torch.no_grad():
            base = read_unet(model, dtype=torch.float32, device=torch.device("cpu"))
            return io.NodeOutput(import_original(load_original_unet(find_source(source)), base))


def list_sources() -> list[str]:
    """Folders and files that the original may have saved, as "models folder/name"."""
    found = [(kind, path) for kind in SOURCES for folder in source_folders(kind) for path in list_entries(folder)]
    return [f"{kind}/{path.name}" for kind, path in found if is_folder(path) or path.suffix in ENDINGS]


def source_folders(kind: str) -> list[Path]:
    """The existing folders for one kind of model."""
    return [folder for folder in map(Path, folder_paths.get_folder_paths(kind)) if is_folder(folder)]


def find_source(source: str) -> Path:
    """The path behind a name that `list_sources` gives.

    Raises:
        MotionError: the file has gone, or the name leads elsewhere.
    """
    kind, _, name = source.partition("/")
    if kind in SOURCES:
        for folder in source_folders(kind):
            if name in {path.name for path in folder.iterdir()}:
                return folder / name
    raise MotionError(
        got=f"source {source!r}",
        expected="a folder or file in models/diffusers, models/diffusion_models or models/tav_motion",
        mend="Put what the original saved there, press R to refresh the list, and choose it.",
    )
