"""Properties that must hold for any input: layouts, frames taken, context windows, the motion file, resizing."""

from __future__ import annotations

import json
import tempfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tav_core.denoisers.windows import ContextWindows, fused_weights, window_around, with_anchor
from tav_core.errors import ClipError, LatentsError
from tav_core.layouts import check_latents, fold, unfold
from tav_core.models.families import ARCHITECTURE
from tav_core.models.parameter_names import is_temporal
from tav_core.tuning.motion import Motion
from tav_core.tuning.motion_info import MotionInfo
from tav_core.video.config import FITS, ClipConfig, check_size
from tav_core.video.sizes import fit_boxes, resize_frames
from tav_core.video.timeline import Timeline, pick_frames

# The same examples each time: continuous integration must not fail by chance.
settings.register_profile(
    "here", deadline=None, derandomize=True, max_examples=40, suppress_health_check=list(HealthCheck)
)
settings.load_profile("here")
small = st.integers(1, 5)


class TestLayouts:
    @given(shape=st.tuples(small, small, small, small, small))
    def test_unfolding_undoes_folding_and_each_frame_is_an_image(self, shape):
        latents = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
        folded = fold(latents)
        b, c, f, h, w = shape
        assert folded.shape == (b * f, c, h, w)
        assert torch.equal(unfold(folded, f), latents)
        assert all(torch.equal(folded[i * f + j], latents[i, :, j]) for i in range(b) for j in range(f))

    @given(shape=st.lists(st.integers(0, 3), max_size=7), channels=st.none() | small)
    def test_only_five_full_axes_are_latents(self, shape, channels):
        good = len(shape) == 5 and 0 not in shape and channels in (None, shape[1])
        try:
            check_latents(torch.zeros(shape), channels=channels)
            taken = True
        except LatentsError:
            taken = False
        assert taken == good


# Gaps between frames: all alike, or each another.
gaps = st.tuples(st.integers(1, 500), st.integers(0, 299)).map(lambda pair: [pair[0]] * pair[1]) | st.lists(
    st.integers(1, 10_000), max_size=80
)
choice = st.fixed_dictionaries(
    {"start": st.integers(0, 350), "stride": st.integers(1, 40), "num_frames": st.integers(1, 60)}
)


def timeline_of(gaps, first=0, tick=Fraction(1, 1000)):
    ticks = [first]
    for gap in gaps:
        ticks.append(ticks[-1] + gap)
    return Timeline(ticks=ticks, tick=tick)


class TestFrames:
    @given(gaps=gaps, first=st.integers(-(10**6), 10**6), choice=choice)
    def test_picks_are_in_the_source_in_order_and_as_many_as_asked_for(self, gaps, first, choice):
        timeline = timeline_of(gaps, first)
        needed = choice["start"] + (choice["num_frames"] - 1) * choice["stride"] + 1
        try:
            picks = pick_frames(timeline, ClipConfig(**choice), name="x")
        except ClipError as error:
            assert len(timeline) < needed and f"{len(timeline)} frame" in error.got
            return
        assert len(timeline) >= needed and len(picks) == choice["num_frames"]
        assert all(0 <= a <= b < len(timeline) for a, b in zip(picks, picks[1:] + picks[-1:], strict=True))

    @given(gap=st.integers(1, 500), count=st.integers(1, 300), choice=choice)
    def test_at_a_constant_rate_the_rule_is_the_originals(self, gap, count, choice):
        wanted = list(range(choice["start"], count, choice["stride"]))[: choice["num_frames"]]
        try:
            assert pick_frames(timeline_of([gap] * (count - 1)), ClipConfig(**choice), name="x") == wanted
        except ClipError:
            assert len(wanted) < choice["num_frames"]

    @given(gaps=gaps, choice=choice)
    def test_what_a_refusal_proposes_is_accepted(self, gaps, choice):
        timeline = timeline_of(gaps)
        try:
            pick_frames(timeline, ClipConfig(**choice), name="x")
        except ClipError as error:
            text = error.mend.removeprefix("Lower ").removeprefix("Set ").removesuffix(".")
            ways = text.replace(" and ", ", ").replace(", or ", " | ").split(" | ")
            proposed = {}
            for way in " | ".join(ways).replace(", ", " | ").split(" | "):
                name, number = way.replace(" to ", " ").split()
                proposed[name] = int(number)
            if error.mend.startswith("Set"):
                assert len(pick_frames(timeline, ClipConfig(**proposed), name="x")) == proposed["num_frames"]
                return
            for name, value in proposed.items():
                assert len(pick_frames(timeline, ClipConfig(**{**choice, name: value}), name="x")) >= 1

    @given(gaps=gaps)
    def test_an_even_grid_keeps_the_speed(self, gaps):
        """At each of the evenly spaced moments a frame is shown that is no more than a gap away."""
        timeline = timeline_of(gaps)
        grid, last = timeline.even_grid(), timeline.ticks[-1]
        assert len(grid) == len(timeline) and grid[0] >= 0 and grid[-1] < len(timeline)
        step, widest = last / max(len(gaps), 1), max(gaps, default=0)
        assert all(abs(timeline.ticks[frame] - k * step) <= widest + step for k, frame in enumerate(grid))


lengths = st.integers(2, 24).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1)))


class TestWindows:
    @given(lengths=lengths, shifting=st.booleans(), num_frames=st.integers(1, 120), timestep=st.integers(0, 999))
    def test_they_cover_all_frames_and_their_weights_sum_to_one(self, lengths, shifting, num_frames, timestep):
        length, overlap = lengths
        windows = ContextWindows(length=length, overlap=overlap, shifting=shifting).at(num_frames, timestep)
        assert {frame for window in windows for frame in window} == set(range(num_frames))
        assert {len(window) for window in windows} == {min(length, num_frames)}
        assert all(a.start < b.start and a.stop - b.start >= overlap for a, b in pairwise(windows))
        sums = [0.0] * num_frames
        for window, weights in zip(windows, fused_weights(windows, num_frames), strict=True):
            assert len(weights) == len(window) and min(weights) > 0
            for frame, weight in zip(window, weights, strict=True):
                sums[frame] += weight
        assert all(abs(total - 1) < 1e-9 for total in sums)

    @given(num_frames=st.integers(1, 200), length=st.integers(1, 40), data=st.data())
    def test_a_window_around_a_frame_holds_it_and_its_anchor(self, num_frames, length, data):
        frame = data.draw(st.integers(0, num_frames - 1))
        window = window_around(frame, num_frames, length)
        assert frame in window and window.start >= 0 and window.stop <= num_frames
        assert len(window) == min(length, num_frames)
        seen = with_anchor(window)
        assert seen[0] == 0 and len(seen) == len(set(seen)) and set(window) <= set(seen)


texts = st.text(max_size=40)
# What JSON can hold and give back as it was.
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
counts = st.integers(0, 2**31 - 1)
infos = st.builds(
    MotionInfo,
    architecture=st.fixed_dictionaries(dict.fromkeys(ARCHITECTURE, plain)),
    base_hash=texts,
    prompt=texts,
    num_frames=counts,
    stride=counts,
    fps=st.floats(0, 1000),
    width=counts,
    height=counts,
    modes=st.fixed_dictionaries({"attention": st.sampled_from(["full", "first"]), "attention_k": st.integers(1, 99)}),
    config=st.dictionaries(texts, plain, max_size=4),
    steps_done=counts,
    pack_version=texts,
)
names = st.from_regex(r"[a-z_.0-9]{1,30}", fullmatch=True)
tensors = st.lists(st.integers(0, 4), max_size=4).flatmap(
    lambda shape: st.lists(st.floats(-1e4, 1e4, width=16), min_size=(n := torch.Size(shape).numel()), max_size=n).map(
        lambda values: torch.tensor(values, dtype=torch.float32).reshape(shape)
    )
)


class TestMotionFile:
    @given(
        info=infos,
        deltas=st.dictionaries(names, tensors, max_size=4),
        temporal=st.dictionaries(names, tensors, max_size=4),
    )
    def test_loading_undoes_saving(self, info, deltas, temporal):
        motion = Motion(deltas=deltas, temporal=temporal, info=info)
        for dtype in (torch.float16, torch.float32):
            with tempfile.TemporaryDirectory() as folder:
                loaded = Motion.load(motion.save(Path(folder) / "m.safetensors", dtype=dtype))
            assert loaded.info == info
            # The values are such as float16 holds exactly.
            for own, back in ((deltas, loaded.deltas), (temporal, loaded.temporal)):
                assert own.keys() == back.keys()
                assert all(torch.equal(own[name], back[name]) and back[name].dtype == torch.float32 for name in own)

    @given(info=infos)
    def test_metadata_are_plain_strings_of_json(self, info):
        told = info.to_metadata()
        assert all(isinstance(text, str) and text.isascii() for text in told.values())
        assert MotionInfo.from_metadata(told) == info and json.loads(told["prompt"]) == info.prompt

    @given(name=names)
    def test_a_temporal_name_is_one_that_inflation_added(self, name):
        assert is_temporal(f"x.attn_temp.{name}") and is_temporal(f"x.norm_temp.{name}")
        assert is_temporal(name) == (".attn_temp." in name or ".norm_temp." in name)


sides = st.integers(1, 12).map(lambda n: 8 * n)


class TestResize:
    @given(source=st.tuples(st.integers(1, 90), st.integers(1, 90)), width=sides, height=sides,
           fit=st.sampled_from(FITS), aspect=st.floats(0.2, 5))  # fmt: skip
    def test_boxes_lie_inside(self, source, width, height, fit, aspect):
        (left, top, right, bottom), inner, corner = fit_boxes(source, (width, height), fit, aspect)
        assert 0 <= left < right <= source[0] + 1e-9 and 0 <= top < bottom <= source[1] + 1e-9
        assert all(
            c >= 0 and n >= 1 and c + n <= side for c, n, side in zip(corner, inner, (width, height), strict=True)
        )
        if fit != "pad":
            assert inner == (width, height)
        if fit != "crop":
            assert (left, top, right, bottom) == (0, 0, *source)

    @given(shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), small), width=sides, height=sides,
           fit=st.sampled_from(FITS), value=st.floats(0, 1), seed=st.integers(0, 99))  # fmt: skip
    def test_sizes_range_and_flat_pictures(self, shape, width, height, fit, value, seed):
        check_size(width, height)
        frames = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
        before = frames.clone()
        resized = resize_frames(frames, width, height, fit)
        assert resized.shape == (shape[0], height, width, shape[3]) and resized.dtype == torch.float32
        assert float(resized.min()) >= 0 and float(resized.max()) <= 1
        assert torch.equal(frames, before) and resized.data_ptr() != frames.data_ptr()
        flat = resize_frames(torch.full(shape, value), width, height, "stretch")
        assert torch.allclose(flat, torch.tensor(value), atol=1e-5)
