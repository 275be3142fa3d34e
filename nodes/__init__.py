"""The nodes, in the order in which a graph runs through them.

    load_clip  demo_model          what goes in
    tune  tune_options  stop_early  one-shot tuning
    motion_files  apply_motion     the motion as a file, and on a MODEL
    context_windows  free_noise    long clips
    invert  sample_edit            from the clip to noise, and from noise to the edited clip
    compare_inversions             what each way to noise loses
    composite                      the edit inside a mask or some frames, the clip around it
    inject_source                  edits that keep the clip's layout
    blend_inversions               two clips' noises in one
    edit_preset                    settings by goal
    compare                        side by side
    measure  report                scores, and a page of them

Whatever of ComfyUI is more than a node's form lies in these: `native` (a motion on a MODEL), `core_unet` (a MODEL as a
diffusers UNet), `core_tuning`, `core_sampling` (a MODEL as a Denoiser), `core_windows` (context windows on a MODEL),
`core_injection` (a source on a MODEL), `core_demo` (the demo model as core objects).
"""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .sampling.blend_inversions import BlendInversions
from .sampling.compare_inversions import CompareInversions
from .sampling.context_windows import ContextWindows
from .sampling.edit_preset import EditPreset
from .sampling.free_noise import FreeNoise
from .sampling.inject_source import InjectSource
from .sampling.invert import DDIMInvert
from .sampling.sample_edit import SampleEdit
from .sockets.folders import register_motion_folder
from .tuning.apply_motion import ApplyMotion
from .tuning.motion_files import ImportOriginal, LoadMotion, SaveMotion
from .tuning.stop_early import StopEarly
from .tuning.tune import OneShotTune
from .tuning.tune_options import TuneOptions
from .video.compare import CompareVideos
from .video.composite import CompositeEdit
from .video.demo_model import LoadDemoModel
from .video.load_clip import LoadClip
from .video.measure import MeasureVideo
from .video.report import Report

NODES: list[type[io.ComfyNode]] = [
    LoadClip,
    LoadDemoModel,
    OneShotTune,
    TuneOptions,
    StopEarly,
    SaveMotion,
    LoadMotion,
    ImportOriginal,
    ApplyMotion,
    ContextWindows,
    FreeNoise,
    DDIMInvert,
    CompareInversions,
    BlendInversions,
    InjectSource,
    SampleEdit,
    CompositeEdit,
    CompareVideos,
    MeasureVideo,
    Report,
    EditPreset,
]


class TuneAVideoExtension(ComfyExtension):
    """What ComfyUI asks for the nodes."""

    def __init__(self) -> None:
        super().__init__()
        # Not in on_load, which ComfyUI 0.8 never awaits.
        register_motion_folder()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
