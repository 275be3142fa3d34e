"""Every source is made here, with frames that carry their own number as black and white blocks."""

import gc
import struct
import tracemalloc
import wave
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.errors import ClipError, ConfigError
from tav_core.video import decode
from tav_core.video.clip import as_rate, open_source, read_clip, source_size, take_frames
from tav_core.video.config import ClipConfig, ClipInfo
from tav_core.video.to_rgb import orientation
from tav_core.video.write import write_video

WIDTH, HEIGHT, BLOCK = 64, 48, 16


def numbered(number):
    """A frame whose 4 x 3 blocks are the 12 bits of `number`."""
    bits = np.array([number >> bit & 1 for bit in range(12)], np.uint8).reshape(3, 4) * 255
    return np.repeat(bits.repeat(BLOCK, 0).repeat(BLOCK, 1)[..., None], 3, axis=2)


def numbers(clip):
    """Reads the numbers back."""
    blocks = clip.frames.mean(-1).reshape(-1, 3, BLOCK, 4, BLOCK).mean((2, 4)).flatten(1)
    assert ((blocks - 0.5).abs() > 0.3).all()
    return [int(sum(1 << bit for bit in range(12) if frame[bit] > 0.5)) for frame in blocks]


def encode(
    path,
    frames,
    *,
    codec="libx264",
    pix_fmt="yuv420p",
    rate=25,
    times=None,
    tick=None,
    aspect=None,
    movflags="",
    **options,
):
    """Writes frames (arrays, or PyAV frames as they are), at even times or at `times` in units of `tick`."""
    options = {"preset": "ultrafast", "bf": "2"} | options if codec == "libx264" else options
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        first = frames[0]
        stream.height, stream.width = first.shape[:2] if isinstance(first, np.ndarray) else (first.height, first.width)
        stream.pix_fmt = pix_fmt
        if tick:
            stream.codec_context.time_base = tick
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for number, frame in enumerate(frames):
            if isinstance(frame, np.ndarray):
                frame = av.VideoFrame.from_ndarray(frame, format="rgba" if frame.shape[2] == 4 else "rgb24")
            frame.pts, frame.time_base = (times[number], tick) if times else (number, 1 / Fraction(rate))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy_stream(container, template):
    """Adds a stream like `template`; PyAV 14 renamed the way to do that."""
    if hasattr(container, "add_stream_from_template"):
        return container.add_stream_from_template(template)
    return container.add_stream(template=template)


def read(path, **settings):
    return read_clip(path, **{"width": WIDTH, "height": HEIGHT, "num_frames": 1} | settings)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """400 frames at 25 per second, a keyframe every 20 with open groups of pictures."""
    path = tmp_path_factory.mktemp("counted") / "counted.mp4"
    return encode(path, [numbered(n) for n in range(400)], g="20", **{"x264-params": "open-gop=1:bframes=3:scenecut=0"})


class TestWhichFrames:
    @pytest.mark.parametrize(
        ("start", "stride", "count"), [(0, 1, 24), (3, 2, 10), (1, 7, 5), (376, 1, 24), (399, 3, 1)]
    )
    def test_are_the_originals_range(self, counted, start, stride, count):
        clip = read(counted, start=start, stride=stride, num_frames=count)
        assert numbers(clip) == list(range(start, 400, stride))[:count]
        assert clip.frames.shape == (count, HEIGHT, WIDTH, 3) and clip.frames.dtype == torch.float32
        assert (clip.source_frames, clip.source_fps, clip.fps) == (400, 25, 25 / stride)
        assert (clip.config.start, clip.config.stride, clip.name, clip.num_frames) == (start, stride, "counted", count)

    @pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov", ".avi", ".ts", ".webm", ".gif", ".webp", ""])
    def test_are_the_same_in_every_container(self, tmp_path, ending):
        frames = [numbered(n) for n in range(30)]
        path = tmp_path / f"clip{ending}"
        if ending in (".gif", ".webp", ""):
            write_video(path, np.stack(frames), fps=25)
        else:
            codec = {".avi": "mpeg4", ".webm": "libvpx"}.get(ending, "libx264")
            encode(path, frames, codec=codec, b="2000000")
        clip = read(path, start=2, stride=3, num_frames=9, folder_fps=25)
        assert numbers(clip) == list(range(2, 29, 3))
        assert clip.source_frames == 30 and clip.source_fps == 25

    def test_are_those_of_a_config_and_of_settings_in_its_place(self, counted):
        config = ClipConfig(width=WIDTH, height=HEIGHT, num_frames=2, stride=5)
        assert numbers(read_clip(counted, config)) == [0, 5]
        clip = read_clip(counted, config, start=3)
        assert numbers(clip) == [3, 8] and clip.config == replace(config, start=3)
        assert clip.info("a cat") == ClipInfo(prompt="a cat", fps=5.0, config=clip.config)
        with pytest.raises(TypeError, match="frames"):
            read_clip(counted, frames=2)

    def test_a_source_tells_length_and_size_before_any_is_taken(self, counted):
        source = open_source(counted)
        assert (len(source.timeline), source.frames_decoded) == (400, 0)
        assert source_size(source) == (WIDTH, HEIGHT)
        config = ClipConfig(width=WIDTH, height=HEIGHT, num_frames=2, stride=5)
        assert torch.equal(take_frames(source, config).frames, read_clip(counted, config).frames)

    def test_stops_decoding_after_the_last(self, counted):
        assert read(counted, stride=2, num_frames=4).frames_decoded == 7

    @pytest.mark.parametrize("start", [*range(279, 302), 399])
    def test_are_exact_after_a_seek(self, counted, start):
        clip = read(counted, start=start)
        assert numbers(clip) == [start]
        assert clip.frames_decoded <= 21

    def test_are_exact_where_keyframes_are_none(self, tmp_path):
        # Large enough for x264 to spread its refresh over several frames.
        frames = [numbered(n).repeat(4, 0).repeat(4, 1) for n in range(190)]
        options = {"g": "20", "bf": "0", "x264-params": "intra-refresh=1:scenecut=0"}
        path = encode(tmp_path / "refresh.mp4", frames, **options)
        for start in (162, 174, 180, 186):
            assert numbers(read(path, start=start)) == [start]

    def test_are_exact_where_a_seek_lands_too_late(self, counted, monkeypatch):
        monkeypatch.setattr(decode.VideoFile, "_keyframe_before", lambda self, first: self.timeline.ticks[-1])
        assert numbers(read(counted, start=150)) == [150]

    def test_pass_over_hidden_pictures_of_vp8(self, tmp_path):
        encode(tmp_path / "plain.webm", [numbered(n) for n in range(20)], codec="libvpx", b="2000000")
        with av.open(str(tmp_path / "plain.webm")) as source, av.open(str(tmp_path / "hidden.webm"), "w") as target:
            stream = copy_stream(target, source.streams.video[0])
            for packet in list(source.demux(video=0))[:-1]:
                copies = [packet]
                if packet.pts == 400:
                    hidden = av.Packet(bytes([bytes(packet)[0] & ~0x10]) + bytes(packet)[1:])
                    hidden.pts = hidden.dts = packet.pts - 1
                    hidden.time_base = packet.time_base
                    copies = [hidden, packet]
                for copy in copies:
                    copy.stream = stream
                    target.mux(copy)
        clip = read(tmp_path / "hidden.webm", num_frames=20)
        assert clip.source_frames == 20 and clip.source_fps == 25

    def test_pass_over_what_an_edit_list_hides(self, tmp_path):
        encode(tmp_path / "whole.mp4", [numbered(n) for n in range(40)], g="10")
        # Frames before time 0 are kept in the file for decoding, behind an edit list.
        options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
        with (
            av.open(str(tmp_path / "whole.mp4")) as source,
            av.open(str(tmp_path / "cut.mp4"), "w", options=options) as target,
        ):
            stream = copy_stream(target, source.streams.video[0])
            for packet in list(source.demux(video=0))[:-1]:
                packet.pts, packet.dts = (time - 7 * packet.duration for time in (packet.pts, packet.dts))
                packet.stream = stream
                target.mux(packet)
        clip = read(tmp_path / "cut.mp4", num_frames=33)
        assert numbers(clip) == list(range(7, 40)) and clip.source_frames == 33

    @pytest.mark.parametrize(("ending", "codec"), [(".ts", "libx264"), (".ts", "mpeg4"), (".m4v", "mpeg4")])
    def test_begin_where_a_cut_recording_can_be_decoded(self, tmp_path, ending, codec):
        # Large frames, so that what a decoder makes of a cut stream differs.
        frames = [numbered(n).repeat(4, 0).repeat(4, 1) for n in range(100)]
        data = encode(tmp_path / f"whole{ending}", frames, codec=codec, g="20", b="4000000").read_bytes()
        # Transport streams are made of packets of 188 bytes, and may begin with any.
        (tmp_path / f"cut{ending}").write_bytes(data[len(data) // 188 // 3 * 188 :])
        seen = numbers(read(tmp_path / f"cut{ending}", num_frames=40))
        assert seen[0] in (20, 40) and seen == list(range(seen[0], seen[0] + 40))

    def test_begin_behind_packets_that_nothing_can_decode(self, tmp_path):
        encode(tmp_path / "whole.mkv", [numbered(n) for n in range(20)], codec="ffv1", pix_fmt="bgr0", g="1")
        with av.open(str(tmp_path / "whole.mkv")) as source, av.open(str(tmp_path / "junk.mkv"), "w") as target:
            stream = copy_stream(target, source.streams.video[0])
            packets = list(source.demux(video=0))[:-1]
            for number, packet in enumerate(packets):
                if number < 3:
                    time = packet.pts
                    packet = av.Packet(b"\x00junk")
                    packet.pts = packet.dts = time
                    packet.time_base = packets[-1].time_base
                packet.stream = stream
                target.mux(packet)
        assert numbers(read(tmp_path / "junk.mkv", num_frames=17)) == list(range(3, 20))

    def test_do_not_pile_up_in_memory(self, tmp_path):
        path = encode(tmp_path / "clip.mp4", [numbered(n) for n in range(60)])
        gc.collect()
        gc.disable()
        try:
            read(path, num_frames=60)
            assert sum(type(thing) is av.VideoFrame for thing in gc.get_objects()) <= 2
        finally:
            gc.enable()

    def test_too_few_are_counted_and_ways_out_named(self, counted):
        with pytest.raises(ClipError, match=r"400 frames in counted\.mp4") as error:
            read(counted, start=390, stride=2, num_frames=24)
        assert error.value.got.endswith("start 390 and stride 2 leave 5")
        assert "437 frames or more" in error.value.expected
        assert error.value.mend == "Lower num_frames to 5, or start to 353."
        assert numbers(read(counted, start=353, stride=2, num_frames=24))[-1] == 399

    @pytest.mark.parametrize(
        "wrong", [{"start": -1}, {"stride": 0}, {"num_frames": 0}, {"width": 500}, {"fit": "zoom"}]
    )
    def test_settings_out_of_range(self, counted, wrong):
        with pytest.raises(ConfigError):
            read(counted, **wrong)


class TestVariableFrameRate:
    @pytest.mark.parametrize("ending", [".mkv", ".mp4"])
    def test_keeps_the_speed_of_the_motion(self, tmp_path, ending):
        # Each frame carries its own time: 1.2 s at 10 a second, then 1.2 s at 40 a second, in ms.
        times = [*range(0, 1200, 100), *range(1200, 2401, 25)]
        frames = [numbered(time) for time in times]
        path = encode(tmp_path / f"vfr{ending}", frames, rate=1000, times=times, tick=Fraction(1, 1000), bf="0")
        clip = read(path, num_frames=len(times))
        step = 2400 / (len(times) - 1)
        assert clip.fps == pytest.approx(1000 / step)
        shown = [max(time for time in times if time <= (k + 0.5) * step) for k in range(len(times))]
        assert numbers(clip) == shown
        assert max(abs(time - k * step) for k, time in enumerate(shown)) <= 100

    def test_jitter_does_not_repeat_frames(self, tmp_path):
        times = [33 * n + (n * 7) % 5 for n in range(40)]
        frames = [numbered(n) for n in range(40)]
        path = encode(tmp_path / "jitter.mkv", frames, rate=1000, times=times, tick=Fraction(1, 1000), bf="0")
        assert numbers(read(path, num_frames=40)) == list(range(40))

    @pytest.mark.parametrize("ending", [".gif", ".webp"])
    def test_frames_without_a_duration_last_as_in_browsers(self, tmp_path, ending):
        pictures = [Image.fromarray(numbered(n)) for n in range(5)]
        path = tmp_path / f"hasty{ending}"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=0)
        assert read(path).fps == 10


def four_corners(width, height):
    """Red, green over blue, white."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[: height // 2, : width // 2] = (255, 0, 0)
    frame[: height // 2, width // 2 :] = (0, 255, 0)
    frame[height // 2 :, : width // 2] = (0, 0, 255)
    frame[height // 2 :, width // 2 :] = (255, 255, 255)
    return frame


def corners(frame):
    height, width, _ = frame.shape
    places = [(y * height // 4, x * width // 4) for y in (1, 3) for x in (1, 3)]
    names = {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w"}
    return "".join(names[tuple(frame[place].round().int().tolist())] for place in places)


class TestOrientation:
    @pytest.mark.parametrize(
        ("matrix", "seen", "degrees"),
        [
            ((1, 0, 0, 1), "rgbw", 0),
            ((0, 1, -1, 0), "brwg", 90),
            ((-1, 0, 0, -1), "wbgr", 180),
            ((0, -1, 1, 0), "gwrb", 270),
            ((-1, 0, 0, 1), "grwb", 0),
            ((1, 0, 0, -1), "bwrg", 0),
        ],
    )
    def test_follows_the_display_matrix(self, tmp_path, matrix, seen, degrees):
        path = encode(tmp_path / "plain.mp4", [four_corners(96, 64)] * 3, crf="10")
        data = bytearray(path.read_bytes())
        # The matrix is 40 bytes behind the start of a version 0 track header (ISO/IEC 14496-12, 8.3.2).
        place = data.index(b"tkhd") + 44
        a, b, c, d = matrix
        data[place : place + 36] = struct.pack(">9i", *(x << 16 for x in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
        path.write_bytes(data)
        clip = read(path, width=96, height=64, fit="stretch")
        assert corners(clip.frames[0]) == seen
        assert clip.rotation == degrees
        assert clip.source_size == ((64, 96) if degrees in (90, 270) else (96, 64))

    def test_pixels_that_are_not_square(self, tmp_path):
        # 64 x 64 stored, 128 x 64 shown: a square crop keeps the middle half.
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[:, 16:48] = 255
        path = encode(tmp_path / "wide.mp4", [frame], crf="5", aspect=Fraction(2, 1))
        assert read(path, width=64, height=64).frames.mean() > 0.97
        padded = read(path, width=64, height=64, fit="pad").frames[0]
        assert padded[:14].max() < 0.05 and padded[50:].max() < 0.05 and padded[24:40, 24:40].min() > 0.95

    def test_exif(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(four_corners(96, 64)).save(tmp_path / "1.png", exif=exif)
        assert corners(read(tmp_path, width=64, height=96).frames[0]) == "brwg"
        # Alone, too: with PyAV 18.1, any EXIF at all ended in "ValueError: 31 is not a valid Type".
        for name in ("1.png", "1.jpg"):
            Image.fromarray(four_corners(96, 64)).save(tmp_path / name, exif=exif)
            clip = read(tmp_path / name, width=64, height=96)
            assert corners(clip.frames[0]) == "brwg" and clip.source_size == (64, 96) and clip.fps == 8

    def test_side_data_without_a_name_turns_nothing(self):
        class Frame:
            @property
            def side_data(self):
                raise ValueError("31 is not a valid Type")

        assert orientation(Frame()) == (None, 0)


class TestColours:
    RED, BROWN = (255, 0, 0), (180, 90, 60)

    @pytest.mark.parametrize("matrix", ["bt709", "bt470bg", "bt2020nc"])
    @pytest.mark.parametrize("full", [False, True])
    @pytest.mark.parametrize("bits", [8, 10])
    @pytest.mark.parametrize("colour", [RED, BROWN])
    def test_are_right_by_every_matrix_and_range(self, tmp_path, matrix, full, bits, colour):
        pix_fmt = "yuv420p" if bits == 8 else "yuv420p10le"
        frame = self.yuv_frame(self.planes(colour, matrix, full), pix_fmt, bits)
        options = {"color_range": "pc" if full else "tv", "colorspace": matrix, "qp": "0"}
        path = encode(tmp_path / "plain.mkv", [frame], pix_fmt=pix_fmt, **options)
        assert torch.allclose(read(path).frames[0, 20, 20], torch.tensor(colour) / 255, atol=0.012)

    def test_untagged_video_is_read_as_players_do(self, tmp_path):
        for matrix, width, height in (("bt470bg", WIDTH, HEIGHT), ("bt709", 1280, 720)):
            frame = self.yuv_frame(self.planes(self.BROWN, matrix, False), "yuv420p", 8, width, height)
            path = encode(tmp_path / f"{height}.mkv", [frame], codec="ffv1")
            assert torch.allclose(read(path).frames[0, 20, 20], torch.tensor(self.BROWN) / 255, atol=0.012)

    @staticmethod
    def planes(colour, matrix, full):
        """8-bit luma and colour differences by the weights of red and blue (ITU-T H.273, table 4)."""
        red, blue = {"bt709": (0.2126, 0.0722), "bt470bg": (0.299, 0.114), "bt2020nc": (0.2627, 0.0593)}[matrix]
        r, g, b = (level / 255 for level in colour)
        luma = red * r + (1 - red - blue) * g + blue * b
        differences = (b - luma) / (2 - 2 * blue), (r - luma) / (2 - 2 * red)
        if full:
            return [255 * luma, *(128 + 255 * difference for difference in differences)]
        return [16 + 219 * luma, *(128 + 224 * difference for difference in differences)]

    @pytest.mark.parametrize(
        ("codec", "pix_fmt"), [("libx264", "yuv420p10le"), ("ffv1", "yuv420p10le"), ("ffv1", "yuv444p12le")]
    )
    def test_a_deep_ramp_stays_a_ramp(self, tmp_path, codec, pix_fmt):
        bits = int(pix_fmt[-4:-2])
        levels = np.linspace(16, 235, WIDTH) * 2 ** (bits - 8)
        frame = self.yuv_frame((0, 128, 128), pix_fmt, bits)
        luma = np.frombuffer(frame.planes[0], np.uint16).reshape(HEIGHT, -1).copy()
        luma[:, :WIDTH] = levels.round()
        frame.planes[0].update(luma.tobytes())
        path = encode(tmp_path / "ramp.mkv", [frame], codec=codec, pix_fmt=pix_fmt)
        seen = read(path).frames[0]
        assert torch.allclose(seen[24], torch.linspace(0, 1, WIDTH)[:, None].expand(-1, 3), atol=0.03)

    @pytest.mark.parametrize("pix_fmt", ["gray", "gbrp10le", "rgb48le", "yuv444p", "bgr0"])
    def test_other_pixel_formats(self, tmp_path, pix_fmt):
        path = encode(
            tmp_path / "grey.mkv", [np.full((HEIGHT, WIDTH, 3), 100, np.uint8)], codec="ffv1", pix_fmt=pix_fmt
        )
        assert torch.allclose(read(path).frames, torch.tensor(100 / 255), atol=0.012)

    @staticmethod
    def yuv_frame(values, pix_fmt, bits, width=WIDTH, height=HEIGHT):
        frame = av.VideoFrame(width, height, pix_fmt)
        for plane, value in zip(frame.planes, values, strict=True):
            kind = np.uint8 if bits == 8 else np.uint16
            level = min(round(value * 2 ** (bits - 8)), 2**bits - 1)
            plane.update(np.full(plane.buffer_size // kind().itemsize, level, kind).tobytes())
        return frame


class TestTransparency:
    @pytest.mark.parametrize(
        ("name", "codec", "pix_fmt"),
        [
            ("a.mkv", "ffv1", "yuva420p"),
            ("a.mov", "qtrle", "argb"),
            ("a.webm", "libvpx-vp9", "yuva420p"),
            ("a.gif", "pillow", ""),
            ("a.webp", "pillow", ""),
            ("folder", "pillow", ""),
        ],
    )
    def test_lies_over_white(self, tmp_path, name, codec, pix_fmt):
        frame = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        frame[:, : WIDTH // 2] = (200, 30, 40, 255)
        path = tmp_path / name
        if codec == "pillow":
            self.save_with_pillow(path, frame)
        else:
            encode(path, [frame] * 3, codec=codec, pix_fmt=pix_fmt, b="4000000")
        seen = read(path, num_frames=3).frames
        assert torch.allclose(seen[:, 2:, : WIDTH // 2 - 4], torch.tensor([200, 30, 40]) / 255, atol=0.04)
        assert torch.allclose(seen[:, :, WIDTH // 2 + 4 :], torch.ones(3), atol=0.02)

    def test_half_covers(self, tmp_path):
        Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 128)).save(tmp_path / "0.png")
        assert torch.allclose(read(tmp_path).frames, torch.tensor(127 / 255), atol=0.003)

    @staticmethod
    def save_with_pillow(path, frame):
        # One pixel moves, so that no encoder merges the frames.
        pictures = []
        for number in range(3):
            frame[0, number, :3] = 90
            pictures.append(Image.fromarray(frame.copy()))
        if path.suffix:
            pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, disposal=2, lossless=True)
            return
        path.mkdir()
        for number, picture in enumerate(pictures):
            picture.save(path / f"{number}.png")


class TestSizes:
    def test_odd_sources(self, tmp_path):
        ramp = np.linspace(0, 255, 101).round().astype(np.uint8)
        frame = np.broadcast_to(ramp[None, :, None], (75, 101, 3)).copy()
        path = encode(tmp_path / "odd.mkv", [frame] * 2, codec="ffv1", pix_fmt="bgr0")
        clip = read(path, num_frames=2, fit="stretch")
        assert clip.source_size == (101, 75)
        wanted = torch.from_numpy(np.interp((np.arange(64) + 0.5) / 64 * 101 - 0.5, np.arange(101), ramp)) / 255
        assert torch.allclose(clip.frames[:, 30, 2:-2, 0], wanted[2:-2].float().expand(2, -1), atol=0.01)

    def test_each_fit(self, tmp_path):
        # Twice as wide as high; only the outer quarters are white.
        frame = np.full((64, 128, 3), 255, np.uint8)
        frame[:, 32:96] = 128
        Image.fromarray(frame).save(tmp_path / "0.png")
        crop, pad, stretch = (read(tmp_path, width=64, height=64, fit=f).frames[0] for f in ("crop", "pad", "stretch"))
        assert crop.max() < 0.52
        assert pad[:16].max() == 0 and pad[48:].max() == 0 and pad[32, 4].min() > 0.98
        assert stretch[:, 4].min() > 0.98 and abs(stretch[32, 32, 0] - 0.5) < 0.01


class TestFolders:
    def test_natural_order_and_rate(self, tmp_path):
        for number in (1, 2, 10, 11):
            Image.fromarray(numbered(number)).save(tmp_path / f"frame{number}.png")
        (tmp_path / "notes.txt").write_text("not a frame")
        (tmp_path / "._frame1.png").write_bytes(b"not a picture")
        clip = read(tmp_path, num_frames=4)
        assert numbers(clip) == [1, 2, 10, 11]
        assert clip.fps == 8 and read(tmp_path, stride=2, folder_fps=30).fps == 15

    def test_sixteen_bit_greys(self, tmp_path):
        Image.fromarray(np.full((HEIGHT, WIDTH), 0x4000, np.uint16)).save(tmp_path / "0.png")
        assert torch.allclose(read(tmp_path).frames, torch.tensor(0.25), atol=0.003)

    def test_floats_from_0_to_1(self, tmp_path):
        Image.fromarray(np.full((HEIGHT, WIDTH), 0.5, np.float32)).save(tmp_path / "0.tif")
        assert torch.allclose(read(tmp_path).frames, torch.tensor(0.5), atol=0.003)
        Image.fromarray(np.full((HEIGHT, WIDTH), 20.0, np.float32)).save(tmp_path / "0.tif")
        with pytest.raises(ClipError, match="floats that are not all from 0 to 1"):
            read(tmp_path)

    def test_digits_that_are_no_numbers_are_sorted_as_letters(self, tmp_path):
        for number, name in enumerate(("①01", "①02", "①2²")):
            Image.fromarray(numbered(number + 1)).save(tmp_path / f"{name}.png")
        assert sorted(numbers(read(tmp_path, num_frames=3))) == [1, 2, 3]

    @pytest.mark.parametrize("mode", ["L", "P", "CMYK"])
    def test_other_modes(self, tmp_path, mode):
        picture = Image.fromarray(numbered(5)).convert(mode)
        picture.save(tmp_path / ("0.jpg" if mode == "CMYK" else "0.png"))
        assert numbers(read(tmp_path)) == [5]

    def test_frames_of_several_sizes(self, tmp_path):
        for number, size in enumerate([(64, 48), (64, 40)]):
            Image.new("RGB", size).save(tmp_path / f"{number}.png")
        with pytest.raises(ClipError, match=r"1.png of 64x40.*Expected 64x48"):
            read(tmp_path, num_frames=2)


class TestNotAClip:
    @pytest.mark.parametrize(
        ("name", "data", "message"),
        [
            ("missing.mp4", None, "does not exist"),
            ("empty.mp4", b"", "empty"),
            ("text.mp4", b"Not a video at all.\n" * 500, "Invalid data"),
            ("text.txt", b"Not a video at all.\n" * 500, "text.txt"),
            ("noise.gif", bytes(range(256)) * 40, "noise.gif"),
            ("broken.webp", b"RIFF\x40\0\0\0WEBPVP8 " + b"\0" * 40, "broken.webp"),
        ],
    )
    def test_says_what_is_wrong(self, tmp_path, name, data, message):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(ClipError, match=message) as error:
            read(tmp_path / name)
        assert error.value.got and error.value.expected and error.value.mend.endswith(".")

    def test_sound_alone(self, tmp_path):
        with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(16000))
        with pytest.raises(ClipError, match="audio but no video"):
            read(tmp_path / "sound.wav")

    @pytest.mark.skipif(
        not hasattr(av.stream.Stream, "disposition"), reason="this PyAV does not tell covers from videos"
    )
    def test_sound_with_a_cover(self, tmp_path):
        with av.open(str(tmp_path / "sound.mp3"), "w") as container:
            stream = container.add_stream("libmp3lame", rate=44100)
            silence = av.AudioFrame.from_ndarray(np.zeros((2, 4608), np.float32), format="fltp", layout="stereo")
            silence.sample_rate = 44100
            container.mux(stream.encode(silence))
            container.mux(stream.encode())
        Image.fromarray(numbered(1)).save(tmp_path / "cover.png")
        # An ID3v2.3 tag with one APIC frame; its size is written 7 bits a byte.
        picture = b"\0image/png\0\x03\0" + (tmp_path / "cover.png").read_bytes()
        body = b"APIC" + struct.pack(">IH", len(picture), 0) + picture
        size = bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0))
        sound = (tmp_path / "sound.mp3").read_bytes()
        (tmp_path / "song.mp3").write_bytes(b"ID3\x03\0\0" + size + body + sound)
        with pytest.raises(ClipError, match="audio but no video"):
            read(tmp_path / "song.mp3")

    def test_folder_without_pictures(self, tmp_path):
        with pytest.raises(ClipError, match="without a picture"):
            read(tmp_path)

    def test_broken_picture_in_a_folder(self, tmp_path):
        Image.fromarray(numbered(3)).save(tmp_path / "0.png")
        data = (tmp_path / "0.png").read_bytes()
        (tmp_path / "0.png").write_bytes(data[: len(data) // 2])
        with pytest.raises(ClipError, match=r"0\.png, which cannot be read"):
            read(tmp_path)

    def test_cut_off_before_its_index(self, counted, tmp_path):
        (tmp_path / "cut.mp4").write_bytes(counted.read_bytes()[:-3000])
        with pytest.raises(ClipError, match=r"cut\.mp4, which cannot be read as a video"):
            read(tmp_path / "cut.mp4")

    def test_cut_off_after_its_index(self, tmp_path):
        frames = [numbered(n) for n in range(100)]
        whole = encode(tmp_path / "whole.mp4", frames, bf="0", movflags="+faststart")
        data = whole.read_bytes()
        (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(ClipError, match=r"frames in cut\.mp4"):
            read(tmp_path / "cut.mp4", num_frames=100)
        assert numbers(read(tmp_path / "cut.mp4", num_frames=10)) == list(range(10))

    def test_damaged_in_the_middle(self, tmp_path):
        frames = [numbered(n) for n in range(30)]
        path = encode(tmp_path / "damaged.mkv", frames, codec="ffv1", pix_fmt="bgr0", slicecrc="1", g="1")
        data = bytearray(path.read_bytes())
        with av.open(str(path)) as container:
            hit = [packet for packet in container.demux(video=0) if packet.size][12]
            place = data.index(bytes(hit))
            data[place : place + hit.size] = b"\xff" * hit.size
        path.write_bytes(data)
        with pytest.raises(ClipError, match=r"damaged\.mkv"):
            read(path, num_frames=30)
        assert numbers(read(path, num_frames=10)) == list(range(10))


class TestARateOfItsOwn:
    @pytest.fixture
    def path(self, tmp_path):
        encode(tmp_path / "a.mp4", [numbered(number) for number in range(40)], rate=24)
        return tmp_path / "a.mp4"

    def test_leaves_frames_out(self, path):
        clip = read_clip(path, width=WIDTH, height=HEIGHT, num_frames=5, start=1, stride=2, rate=12)
        assert numbers(clip) == [2, 6, 10, 14, 18]
        assert (clip.fps, clip.source_fps, clip.source_frames) == (6, 12, 40)

    def test_repeats_frames(self, path):
        clip = read_clip(path, width=WIDTH, height=HEIGHT, num_frames=6, rate=48)
        assert numbers(clip) == [0, 0, 1, 1, 2, 2] and clip.fps == 48

    def test_that_it_has_already_changes_nothing(self, path):
        clip = read_clip(path, width=WIDTH, height=HEIGHT, num_frames=40, rate=24)
        assert numbers(clip) == list(range(40))

    @pytest.mark.parametrize(("said", "meant"), [(23.976, Fraction(24000, 1001)), (29.97, Fraction(30000, 1001))])
    def test_of_television_is_exact(self, said, meant):
        assert as_rate(said) == meant

    @pytest.mark.parametrize("rate", [24, 12.5, 0.5, 60])
    def test_of_other_kinds_is_what_it_says(self, rate):
        assert as_rate(rate) == Fraction(rate)

    @pytest.mark.parametrize("rate", [0, -1, float("nan"), 1e9, "24"])
    def test_that_no_video_has_is_refused(self, path, rate):
        with pytest.raises(ConfigError, match="rate"):
            read_clip(path, rate=rate)


class TestAShortClip:
    def test_gives_what_there_is_if_asked(self, tmp_path):
        encode(tmp_path / "a.mp4", [numbered(number) for number in range(10)])
        taken = {"width": WIDTH, "height": HEIGHT, "start": 2, "stride": 3, "num_frames": 24}
        clip = read_clip(tmp_path / "a.mp4", **taken, may_be_short=True)
        assert numbers(clip) == [2, 5, 8] and clip.config.num_frames == 3
        with pytest.raises(ClipError, match="10 frames"):
            read_clip(tmp_path / "a.mp4", **taken)

    def test_that_has_nothing_left_is_refused(self, tmp_path):
        encode(tmp_path / "a.mp4", [numbered(number) for number in range(10)])
        with pytest.raises(ClipError, match="start 10"):
            read_clip(tmp_path / "a.mp4", start=10, may_be_short=True)


def test_a_long_video_takes_no_more_memory_than_a_short_one(tmp_path):
    """24 of 9000 frames: no more than a few pictures are held beside them."""
    path = tmp_path / "long.mp4"
    encode(path, [np.zeros((96, 96, 3), np.uint8)] * 9000, g="250")
    tracemalloc.start()
    try:
        clip = read_clip(path, num_frames=24, stride=375, width=96, height=96)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert clip.num_frames == 24 and peak < 20 * 2**20


def test_a_size_is_read_of_a_video_whose_stamps_go_back(counted, monkeypatch):
    """As its frames are, where the stamps are found out."""
    source, images, asked = open_source(counted), decode.VideoFile.images, []

    def go_back_once(self, positions):
        asked.append(list(positions))
        if len(asked) == 1:
            raise decode.StampsGoBackError
        return images(self, positions)

    monkeypatch.setattr(decode.VideoFile, "images", go_back_once)
    assert source_size(source) == (WIDTH, HEIGHT)
    assert asked == [[0], [0]]
