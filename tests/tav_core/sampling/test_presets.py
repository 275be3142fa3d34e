"""tav_core/sampling/presets.py: what each goal sets, and that options given by hand come first."""

from __future__ import annotations

import pytest

from tav_core.cli.main import parse
from tav_core.cli.options import read_settings
from tav_core.sampling.config import EditConfig, InjectionConfig
from tav_core.sampling.presets import PRESETS
from tav_core.tuning.config import TuneConfig

TUNE = ["tune", "--model", "m", "--clip", "c", "--prompt", "p", "--out", "o"]
EDIT = ["edit", "--model", "m", "--motion", "m", "--prompt", "p", "--out", "o"]


def test_the_goals():
    assert list(PRESETS) == ["subject", "background", "style"]


@pytest.mark.parametrize("goal", PRESETS)
class TestPresets:
    def test_tuning(self, goal):
        config = read_settings(parse([*TUNE, "--preset", goal]), TuneConfig)
        assert config == TuneConfig(num_steps=PRESETS[goal].num_steps)

    def test_editing(self, goal):
        args, preset = parse([*EDIT, "--preset", goal]), PRESETS[goal]
        assert read_settings(args, EditConfig) == EditConfig(guidance_scale=preset.guidance_scale)
        assert args.inject is (preset.injection is not None)
        expected = preset.injection or InjectionConfig()
        assert read_settings(args, InjectionConfig, prefix="inject-") == expected
        assert preset.shares == ((expected.attention, expected.features) if preset.injection else (0, 0))

    @pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
    def test_other_options_overrule_it(self, goal, before):
        preset, other = ["--preset", goal], ["--num-steps", "7"]
        assert parse([*TUNE, *(other + preset if before else preset + other)]).num_steps == 7

    def test_advice_is_a_sentence(self, goal):
        assert PRESETS[goal].advice.endswith(".")


def test_without_a_preset_nothing_changes():
    assert read_settings(parse(TUNE), TuneConfig) == TuneConfig()
    assert not parse(EDIT).inject


def test_an_unknown_goal_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse([*TUNE, "--preset", "everything"])
    assert "subject" in capsys.readouterr().err
