import dataclasses
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from tav_core.errors import ConfigError
from tav_core.tuning.motion_info import describe_clip
from tav_core.video.config import ClipConfig, ClipInfo, check_size


class TestClipConfig:
    def test_the_defaults_are_the_originals(self):
        assert dataclasses.astuple(ClipConfig()) == (0, 1, 24, 512, 512, "crop")

    @pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(ClipConfig)])
    @pytest.mark.parametrize("value", [-8, 0.5, float("nan"), None, "8", [8], True])
    def test_what_no_setting_can_be_is_refused_by_name(self, name, value):
        with pytest.raises(ConfigError, match=f"^Got {name} "):
            ClipConfig(**{name: value})

    @pytest.mark.parametrize("name", ["width", "height"])
    def test_a_size_between_two_multiples_of_8_is_refused_with_both(self, name):
        with pytest.raises(ConfigError, match=f"Set {name} to 496 or 504"):
            ClipConfig(**{name: 500})

    def test_has_no_upper_bounds(self):
        """What is too much, the video or the memory says."""
        most = {"start": 2**62, "stride": 2**62, "num_frames": 2**62, "width": 2**30, "height": 2**30}
        assert dataclasses.asdict(ClipConfig(**most)) == {**most, "fit": "crop"}

    def test_is_frozen_and_takes_keywords_alone(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            ClipConfig().start = 1
        with pytest.raises(TypeError):
            ClipConfig(1)


class TestClipInfo:
    def test_fills_the_fields_of_a_motion_file(self):
        info = ClipInfo(prompt="a cat", fps=12.5, config=ClipConfig(start=3, stride=2, fit="pad"))
        assert describe_clip(info) == {"prompt": "a cat", "fps": 12.5, "start": 3, "stride": 2, "fit": "pad"}

    def test_leaves_out_what_is_unknown(self):
        assert describe_clip(ClipInfo()) == {"prompt": "", "fps": 0.0}

    def test_gives_what_a_file_can_hold(self):
        info = ClipInfo(fps=Fraction(30000, 1001), config=ClipConfig(start=np.int64(3), stride=np.int64(2)))
        assert [type(value) for value in describe_clip(info).values()] == [str, float, int, int, str]

    @pytest.mark.parametrize(
        ("wrong", "word"),
        [
            ({"fps": float("nan")}, "fps nan"),
            ({"fps": -1}, "fps -1"),
            ({"fps": "8"}, "fps '8'"),
            ({"prompt": None}, "prompt None"),
            ({"config": {"start": 1}}, "config {"),
        ],
    )
    def test_refuses_what_a_motion_file_could_not_be_read_with(self, wrong, word):
        with pytest.raises(ConfigError, match=word):
            ClipInfo(**wrong)


def test_needs_no_torch():
    code = "import sys, tav_core; tav_core.ClipConfig(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


class TestCheckSize:
    @pytest.mark.parametrize("size", [(8, 8), (512, 320), (96, 96)])
    def test_takes_multiples_of_eight(self, size):
        check_size(*size)

    @pytest.mark.parametrize(
        ("size", "mend"),
        [
            ((500, 512), "Set width to 496 or 504."),
            ((512, 513), "Set height to 512 or 520."),
            ((3, 8), "Set width to 8."),
            ((0, 8), "Set width to 8."),
            ((-16, 8), "Set width to 8."),
            ((100.5, 8), "Set width to 96 or 104."),
        ],
    )
    def test_names_the_nearest(self, size, mend):
        with pytest.raises(ConfigError, match="multiple of 8") as error:
            check_size(*size)
        assert error.value.mend == mend
