"""The nodes, by room. `core` builds on `sockets`; the nodes themselves, in the other rooms, build on both.

    sockets     what goes over a wire or is shown on a node: types, widgets, folders, pictures, the bridge to tav_core
    core        every contact with ComfyUI's internals: reading, tuning, patching and sampling a MODEL
    tuning      One-Shot Tune and its options, motions as files, Apply Motion
    sampling    DDIM Invert, Sample Edit, and the nodes that change how a clip is inverted or edited
    lavie       Load LaVie and its steps, Interpolate Frames, Upscale Video, the demo of all three
    video       Load Clip, the demo model, Composite Edit, comparing, measuring, the report
    batch       a list of prompts over a folder of clips

This file lists the nodes for ComfyUI, in the order in which a graph runs through them.
"""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .batch.edit_clips import EditClips
from .batch.load_clips import LoadClips
from .batch.report import BatchReport
from .lavie.demo import LoadDemoCascade
from .lavie.interpolate import InterpolateFrames
from .lavie.load import LoadLaVie
from .lavie.steps import LaVieSteps
from .lavie.upscale import UpscaleVideo
from .sampling.animation_start import AnimationStart
from .sampling.blend_inversions import BlendInversions
from .sampling.compare_inversions import CompareInversions
from .sampling.context_windows import ContextWindows
from .sampling.cross_frame_model import CrossFrameModel
from .sampling.edit_preset import EditPreset
from .sampling.flow_guidance import FlowGuidance
from .sampling.free_noise import FreeNoise
from .sampling.inject_source import InjectSource
from .sampling.invert import DDIMInvert
from .sampling.mask_control import MaskControl
from .sampling.motion_field import MotionField
from .sampling.prompts import Prompts
from .sampling.sample_edit import SampleEdit
from .sampling.smooth_background import SmoothBackground
from .sampling.stretch_inversion import StretchInversion
from .sampling.zero_shot_start import ZeroShotStart
from .sockets.error_names import shorten_error_names
from .sockets.folders import register_folders
from .sockets.graph import watch_graphs
from .tuning.apply_motion import ApplyMotion
from .tuning.motion_files import ImportOriginal, LoadMotion, SaveMotion
from .tuning.stop_early import StopEarly
from .tuning.tune import OneShotTune
from .tuning.tune_clips import TuneClips
from .tuning.tune_options import TuneOptions
from .video.animate import Animate
from .video.compare import CompareVideos
from .video.composite import CompositeEdit
from .video.demo_model import LoadDemoModel
from .video.load_clip import LoadClip
from .video.mark import MarkVideo
from .video.measure import MeasureVideo
from .video.range_route import add_range_route
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
    Prompts,
    SampleEdit,
    CompositeEdit,
    CompareVideos,
    MeasureVideo,
    Report,
    EditPreset,
    CrossFrameModel,
    MotionField,
    ZeroShotStart,
    SmoothBackground,
    LoadDemoCascade,
    LoadLaVie,
    LaVieSteps,
    InterpolateFrames,
    UpscaleVideo,
    MarkVideo,
    Animate,
    AnimationStart,
    StretchInversion,
    LoadClips,
    EditClips,
    BatchReport,
    TuneClips,
    FlowGuidance,
    MaskControl,
]


class TuneAVideoExtension(ComfyExtension):
    """The object that ComfyUI asks for the pack's nodes."""

    def __init__(self) -> None:
        super().__init__()
        # Here and not in on_load, which ComfyUI 0.8 never awaits.
        register_folders()
        shorten_error_names()
        watch_graphs()
        add_range_route()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
