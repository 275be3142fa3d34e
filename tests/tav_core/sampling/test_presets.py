"""tav_core/sampling/presets.py: what each goal sets, and that options given by hand come first."""

from __future__ import annotations

import pytest

from tav_core.cli.inputs import read_modes
from tav_core.cli.main import parse
from tav_core.cli.options.settings import read_settings
from tav_core.sampling.config import EditConfig, InjectionConfig
from tav_core.sampling.presets import PRESETS
from tav_core.tuning.config import TuneConfig

TUNE = ["tune", "--model", "m", "--clip", "c", "--prompt", "p", "--out", "o"]
INVERT = ["invert", "--model", "m", "--motion", "m", "--clip", "c", "--out", "o"]
EDIT = ["edit", "--model", "m", "--motion", "m", "--prompt", "p", "--out", "o"]


def test_the_goals():
    assert list(PRESETS) == ["subject", "background", "style", "fast", "original"]


@pytest.mark.parametrize("goal", PRESETS)
class TestPresets:
    def test_tuning(self, goal):
        args = parse([*TUNE, "--preset", goal])
        gamma = 5.0 if goal == "fast" else 0.0
        assert read_settings(args, TuneConfig) == TuneConfig(num_steps=PRESETS[goal].num_steps, min_snr_gamma=gamma)
        assert args.group_norm == ("clip" if goal == "original" else "frame")

    def test_inverting(self, goal):
        assert parse([*INVERT, "--preset", goal]).num_steps == (25 if goal == "fast" else 50)
        assert parse([*INVERT, "--preset", goal, "--num-steps", "7"]).num_steps == 7

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


def test_the_original_is_the_papers_to_the_letter():
    """configs/*.yaml: 500 steps at 3e-5, guidance 12.5, 50 sampling steps without eta; norms over the clip."""
    args, edit = parse([*TUNE, "--preset", "original"]), parse([*EDIT, "--preset", "original"])
    config = read_settings(args, TuneConfig)
    assert (config.num_steps, config.learning_rate, config.betas, config.weight_decay) == (
        500,
        3e-5,
        (0.9, 0.999),
        0.01,
    )
    modes = read_modes(args, None)
    assert (modes["attention"], modes["group_norm"], modes["positions"]) == ("sparse_causal", "clip", "none")
    assert read_settings(edit, EditConfig) == EditConfig(num_steps=50, guidance_scale=12.5, eta=0.0)


def test_fast_is_a_sixth_of_the_originals_work():
    """A tuning step is three evaluations of the UNet, a guided step two."""
    fast, original = (3 * p.num_steps + 3 * p.sampling_steps for p in (PRESETS["fast"], PRESETS["original"]))
    assert original == 1650 and fast / original < 1 / 6


def test_without_a_preset_nothing_changes():
    assert read_settings(parse(TUNE), TuneConfig) == TuneConfig()
    assert not parse(EDIT).inject


def test_an_unknown_goal_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse([*TUNE, "--preset", "everything"])
    assert "subject" in capsys.readouterr().err


def test_a_batch_takes_the_fast_steps_of_every_stage():
    args = parse(["batch", "list.csv", "--model", "m", "--out", "o", "--preset", "fast"])
    assert (args.tune_num_steps, args.tune_min_snr_gamma, args.num_steps, args.group_norm) == (60, 5.0, 25, "frame")
