from fractions import Fraction

import pytest

from tav_core.errors import ClipError
from tav_core.video.config import ClipConfig
from tav_core.video.timeline import Timeline, count_left, pick_frames

MS = Fraction(1, 1000)


def rounded(rate, count, tick=MS, start=0):
    return [start + round(number / (rate * tick)) for number in range(count)]


class TestRate:
    @pytest.mark.parametrize("rate", [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(15, 2), Fraction(60)])
    @pytest.mark.parametrize("start", [0, -41, 10**9])
    def test_is_seen_through_rounding(self, rate, start):
        timeline = Timeline(ticks=rounded(rate, 200, start=start), tick=MS)
        assert abs(timeline.rate - rate) < rate / 5000
        assert list(timeline.even_grid()) == list(range(200))

    def test_is_taken_from_the_file_only_if_it_fits(self):
        ticks = rounded(Fraction(30000, 1001), 300)
        assert Timeline(ticks=ticks, tick=MS, stated_rates=(Fraction(30000, 1001),)).rate == Fraction(30000, 1001)
        assert abs(Timeline(ticks=ticks, tick=MS, stated_rates=(Fraction(25),)).rate - Fraction(30000, 1001)) < 0.01

    def test_of_a_variable_clip_is_the_average(self):
        assert Timeline(ticks=[0, 100, 200, 1000], tick=MS).rate == 3

    def test_of_one_frame(self):
        assert Timeline(ticks=[7], tick=Fraction(1, 8)).rate == 8
        assert Timeline(ticks=[7], tick=MS, stated_rates=(Fraction(0), Fraction(25))).rate == 25


class TestEvenGrid:
    def test_holds_and_drops(self):
        # 100 ms steps wanted; the second frame stays for 300 ms, then three come in 100.
        timeline = Timeline(ticks=[0, 100, 400, 433, 466, 500], tick=MS)
        assert list(timeline.even_grid()) == [0, 1, 1, 1, 3, 5]

    def test_jitter_under_half_a_step_is_ignored(self):
        ticks = [100 * number + (40 if number % 2 else -40) for number in range(51)]
        assert list(Timeline(ticks=ticks, tick=MS).even_grid()) == list(range(51))

    def test_one_frame(self):
        assert list(Timeline(ticks=[5], tick=MS).even_grid()) == [0]


class TestPickFrames:
    @pytest.fixture
    def timeline(self):
        return Timeline(ticks=range(40), tick=Fraction(1, 8))

    def test_just_enough(self, timeline):
        picks = pick_frames(timeline, ClipConfig(start=1, stride=2, num_frames=20), name="cat.mp4")
        assert picks == list(range(1, 40, 2))

    @pytest.mark.parametrize(
        ("start", "stride", "count", "mend"),
        [
            (0, 2, 24, "Lower num_frames to 20, or stride to 1."),
            (0, 1, 41, "Lower num_frames to 40."),
            (30, 1, 24, "Lower num_frames to 10, or start to 16."),
            (10, 3, 14, "Lower num_frames to 10, or stride to 2, or start to 0."),
            (100, 1, 5, "Lower start to 35."),
            (100, 1, 50, "Set start 0, stride 1 and num_frames 40."),
        ],
    )
    def test_every_way_out_that_is_named_fits(self, timeline, start, stride, count, mend):
        settings = {"start": start, "stride": stride, "num_frames": count}
        with pytest.raises(ClipError, match=r"40 frames in cat\.mp4") as error:
            pick_frames(timeline, ClipConfig(**settings), name="cat.mp4")
        assert error.value.mend == mend
        for way in mend.removeprefix("Lower ").rstrip(".").split(", or ") if mend.startswith("Lower") else ():
            name, value = way.split(" to ")
            assert pick_frames(timeline, ClipConfig(**settings | {name: int(value)}), name="")


class TestGridAt:
    @pytest.fixture
    def timeline(self):
        return Timeline(ticks=range(8), tick=Fraction(1, 24))

    @pytest.mark.parametrize(
        ("rate", "frames"),
        [
            (24, [0, 1, 2, 3, 4, 5, 6, 7]),
            (12, [0, 2, 4, 6]),
            (48, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]),
            (30, [0, 0, 1, 2, 3, 4, 4, 5, 6, 7]),
            (9, [0, 2, 5]),
            (Fraction(1, 100), [0]),
        ],
    )
    def test_shows_what_is_shown_at_each_moment(self, timeline, rate, frames):
        assert list(timeline.grid_at(Fraction(rate))) == frames

    @pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(25), Fraction(60)])
    def test_lasts_as_long_as_the_source(self, rate):
        timeline = Timeline(ticks=range(2400), tick=Fraction(1, 24))
        assert abs(len(timeline.grid_at(rate)) / rate - 100) <= 1 / rate

    def test_of_a_variable_rate_keeps_the_speed(self):
        # One frame in each of four tenths of a second, but for the third, in which the second goes on.
        timeline = Timeline(ticks=[0, 100, 300, 400], tick=MS)
        assert list(timeline.grid_at(timeline.rate)) == list(timeline.even_grid())

    def test_picks_and_counts_at_this_rate(self, timeline):
        config, rate = ClipConfig(start=1, stride=2, num_frames=2), Fraction(12)
        assert pick_frames(timeline, config, name="x", rate=rate) == [2, 6]
        assert count_left(timeline, config, rate=rate) == 2 and count_left(timeline, config) == 4
        with pytest.raises(ClipError, match="4 frames in x"):
            pick_frames(timeline, ClipConfig(num_frames=5), name="x", rate=rate)
