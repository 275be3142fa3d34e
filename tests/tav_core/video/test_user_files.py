"""Videos as users have them (tests/data/video): the frames that ffmpeg decodes, and the sound that goes with them."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.video.audio import read_audio
from tav_core.video.clip import open_source, read_clip, take_frames
from tav_core.video.config import ClipConfig
from tests.tav_core.video.field_coded import field_coded, level
from tests.tav_core.video.test_clip import copy_stream

DATA = Path(__file__).parents[2] / "data" / "video"
SOUNDING = (
    "video_starts_late.mp4",
    "audio_ts_start.ts",
    "audio_starts_late.mkv",
    "audio_flv.flv",
    "vfr_flash_click_ok.mp4",
)
RIGHT = np.load(DATA / "frames_by_ffmpeg.npz")
# At a variable rate, the frames of a clip are even steps in time, not ffmpeg's frames one by one.
EVEN_RATE = sorted(set(RIGHT.files) - {"vfr_flash_click_ok.mp4"})


def shrunk(clip):
    """`f 8 8 3` in 0 ... 255, as the right values are; all sources here have sides that 8 divides."""
    f, height, width, _ = clip.frames.shape
    return clip.frames.reshape(f, 8, height // 8, 8, width // 8, 3).mean((2, 4)).numpy() * 255


@pytest.mark.parametrize("name", EVEN_RATE)
def test_the_frames_are_those_that_ffmpeg_decodes(name):
    right = RIGHT[name].astype(float)
    source = open_source(DATA / name)
    with Image.open(DATA / "bars.png") as _, av.open(str(DATA / name)) as container:
        width, height = (
            next(container.decode(max(container.streams.video, key=lambda track: track.width))).to_image().size
        )
    clip = read_clip(DATA / name, num_frames=len(right), width=width, height=height, fit="stretch")
    assert (len(source.timeline), clip.source_frames) == (len(right), len(right))
    differences = np.abs(shrunk(clip) - right).mean((1, 2, 3))
    # Versions of ffmpeg differ by 1 or 2 levels; resizing and deinterlacing at hard edges by some more.
    assert differences.max() < 4, differences


@pytest.mark.parametrize("name", [name for name in EVEN_RATE if name not in ("size_changes_ok.ts", "interlaced.mp4")])
def test_a_part_is_the_same_part_of_the_whole(name):
    count = len(RIGHT[name])
    whole = read_clip(DATA / name, num_frames=count, width=64, height=64).frames
    part = read_clip(DATA / name, start=5, stride=3, num_frames=(count - 5 + 2) // 3, width=64, height=64).frames
    assert torch.equal(part, whole[5::3])


@pytest.mark.parametrize(
    ("name", "frames", "size", "fps"),
    [
        ("thumb_first.mp4", 20, (64, 64), 10),
        ("thumb_cover_flag_ok.mp4", 20, (64, 64), 10),
        ("joined.ts", 40, (64, 64), 10),
        ("trimmed_editlist_ok.mp4", 12, (64, 64), 10),
        ("h264_bframes.avi", 20, (64, 64), 10),
        ("h264_bframes.asf", 20, (64, 64), 10),
        ("interlaced.mp4", 25, (128, 96), 25),
    ],
)
def test_length_size_and_rate(name, frames, size, fps):
    clip = read_clip(DATA / name, num_frames=frames, width=64, height=64)
    assert (clip.source_frames, clip.source_size, clip.source_fps) == (frames, size, fps)


@pytest.mark.parametrize(
    ("name", "start", "count"),
    [
        ("video_starts_late.mp4", 7, 20),
        ("audio_ts_start.ts", 0, 20),
        ("audio_ts_start.ts", 13, 20),
        ("audio_starts_late.mkv", 7, 20),
        ("audio_starts_late.mkv", 0, 20),
        ("audio_flv.flv", 7, 20),
    ],
)
def test_it_clicks_when_it_flashes(name, start, count):
    clip = read_clip(DATA / name, start=start, num_frames=count, width=64, height=64)
    audio = read_audio(DATA / name, start=start / clip.source_fps, duration=count / clip.fps)
    flashes = [number / clip.fps for number, frame in enumerate(clip.frames) if frame[30, 30, 1] > 0.5]
    assert audio["waveform"].shape[-1] == count / clip.fps * audio["sample_rate"]
    heard = clicks(audio)
    # The sound of one file begins a second after its video.
    flashes = [flash for flash in flashes if name != "audio_starts_late.mkv" or flash + start / clip.source_fps > 0.99]
    assert flashes and heard == pytest.approx(flashes, abs=0.05)


def test_it_clicks_when_it_flashes_at_a_variable_rate():
    clip = read_clip(DATA / "vfr_flash_click_ok.mp4", num_frames=45, width=64, height=64)
    audio = read_audio(DATA / "vfr_flash_click_ok.mp4", start=0, duration=45 / clip.fps)
    flashes = [number / clip.fps for number, frame in enumerate(clip.frames) if frame[30, 30, 1] > 0.5]
    # Each lasts for two steps at most; the first frame of the file, a flash, is shorter than half a step.
    starts = [flash for n, flash in enumerate(flashes) if n == 0 or flash - flashes[n - 1] > 0.2]
    assert clicks(audio) == pytest.approx([0, *starts], abs=0.05)
    assert audio["waveform"].shape[-1] == round(45 / clip.fps * audio["sample_rate"])


@pytest.mark.parametrize("name", SOUNDING)
def test_the_sound_is_the_same_from_a_file_that_is_open(name):
    """Also after its frames have been read."""
    source = open_source(DATA / name)
    take_frames(source, ClipConfig(num_frames=2, width=64, height=64))
    part = {"start": 0.1, "duration": 1.5}
    again, opened = read_audio(DATA / name, **part), read_audio(DATA / name, **part, video=source)
    assert torch.equal(opened["waveform"], again["waveform"])


def clicks(audio):
    """Seconds at which a loud sound begins."""
    loud = (audio["waveform"][0].abs().amax(0) > 0.3).nonzero().flatten() / audio["sample_rate"]
    return [float(time) for n, time in enumerate(loud) if n == 0 or time - loud[n - 1] > 0.2]


class TestColourEdges:
    def test_ten_bits_are_as_sharp_as_eight(self):
        bars = np.array(Image.open(DATA / "bars.png").convert("RGB"), np.float32)
        clip = read_clip(DATA / "ten_bit_bars.mp4", num_frames=1, width=320, height=240)
        difference = np.abs(clip.frames[0].numpy() * 255 - bars)
        # The same picture encoded in 8 bits: at most 19 off, 0.8 on average.
        assert difference.max() < 20 and difference.mean() < 0.9

    @pytest.mark.parametrize(
        "pix_fmt",
        ["yuv420p", "nv12", "yuv420p10le", "p010le", "yuv420p12le", "yuv422p", "yuyv422", "yuv422p10le", "yuv444p10le"],
    )
    @pytest.mark.parametrize("full", [False, True])
    def test_no_colour_runs_into_its_neighbours(self, pix_fmt, full):
        from tav_core.video.to_rgb import to_rgb

        bars = np.array(Image.open(DATA / "bars.png").convert("RGB"))
        # Flat blocks of 16 pixels, so that no format has to mix colours.
        flat = bars[8::16, 8::16].repeat(16, 0).repeat(16, 1)
        levels = "JPEG" if full else "MPEG"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(flat), format="rgb24").reformat(
            format=pix_fmt,
            dst_colorspace="ITU601",
            src_color_range="JPEG",
            dst_color_range=levels,
            interpolation="POINT",
        )
        frame.color_range = 2 if full else 1
        assert np.abs(np.array(to_rgb(frame)).astype(int) - flat).max() <= 6


class TestInterlaced:
    def test_frames_are_not_combed(self):
        clip = read_clip(DATA / "interlaced.mp4", num_frames=25, width=128, height=96)
        assert max(combed(frame) for frame in clip.frames) < 0.01
        with av.open(str(DATA / "interlaced.mp4")) as container:
            raw = [torch.from_numpy(frame.to_ndarray(format="rgb24")) / 255 for frame in container.decode(video=0)]
        assert max(combed(frame) for frame in raw) > 0.02

    def test_a_frame_alone_is_as_in_the_whole(self):
        whole = read_clip(DATA / "interlaced.mp4", num_frames=25, width=128, height=96).frames
        for number in (0, 9, 24):
            alone = read_clip(DATA / "interlaced.mp4", start=number, num_frames=1, width=128, height=96)
            assert torch.equal(alone.frames[0], whole[number])
            assert alone.frames_decoded == min(number + 2, 25)

    def test_frames_do_not_pile_up_in_memory(self):
        gc.collect()
        gc.disable()
        try:
            read_clip(DATA / "interlaced.mp4", num_frames=25, width=128, height=96)
            assert sum(type(thing) is av.VideoFrame for thing in gc.get_objects()) <= 4
        finally:
            gc.enable()


@pytest.mark.parametrize("kind", ["in fields", "some in fields", "whole"])
@pytest.mark.parametrize("ending", ["h264", "ts", "mkv", "mp4"])
def test_two_fields_are_one_frame(tmp_path, kind, ending):
    """Cameras that write AVCHD, and broadcasts, store the fields of a frame one after the other."""
    in_fields = {"in fields": lambda n: True, "some in fields": lambda n: n % 3 != 1, "whole": lambda n: False}[kind]
    path = tmp_path / "fields.h264"
    path.write_bytes(field_coded(24, in_fields))
    if ending != "h264":
        path = stamped(path, tmp_path / f"fields.{ending}", [half for n in range(24) for half in halves(in_fields(n))])
    clip = read_clip(path, num_frames=24, width=64, height=64)
    assert (clip.source_frames, clip.source_fps) == (24, 25)
    # Luma 16 ... 235 are 0 ... 255; the rows of the top field stay as they are.
    top = [round(float(frame[0, 0, 0]) * 255) for frame in clip.frames]
    assert top == pytest.approx([(level(n, 0) - 16) * 255 / 219 for n in range(24)], abs=1.5)


def halves(in_fields):
    """The length of each picture of a frame, in half frames."""
    return (1, 1) if in_fields else (2,)


def stamped(path, target, lengths):
    """Copies a raw stream into a container, with a time for each picture, in half frames of 1/50 s."""
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        stream, time = copy_stream(container, source.streams.video[0]), 0
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet, length in zip(packets, lengths, strict=True):
            packet.stream, packet.time_base = stream, Fraction(1, 50)
            packet.pts = packet.dts = time
            packet.duration, time = length, time + length
            container.mux(packet)
    return target


def combed(frame):
    """The share of pixels that differ from the lines above and below, which are like each other."""
    above, here, below = frame[:-2], frame[1:-1], frame[2:]
    comb = ((here - (above + below) / 2).abs() > 0.25) & ((above - below).abs() < 0.04)
    return float(comb.any(-1).float().mean())
