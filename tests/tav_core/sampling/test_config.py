"""tav_core/sampling/config.py: which steps and which layers."""

from __future__ import annotations

import pytest

from tav_core.errors import ConfigError
from tav_core.sampling.config import InjectionConfig

FIFTY = tuple(range(1, 1000, 20))


def test_the_defaults_are_the_papers():
    config = InjectionConfig()
    taken = [config.at(timestep, FIFTY) for timestep in reversed(FIFTY)]
    assert [each.attention for each in taken] == [True] * 25 + [False] * 25
    assert [each.features for each in taken] == [True] * 40 + [False] * 10
    assert config.first_of(12) == 4


def test_shares_count_from_the_noisy_end():
    few = (1, 251, 501, 751)
    take = lambda share: [InjectionConfig(attention=share).at(t, few).attention for t in reversed(few)]  # noqa: E731
    assert take(0.0) == [False] * 4
    assert take(0.25) == [True, False, False, False]
    assert take(0.6) == [True, True, False, False]
    assert take(1.0) == [True] * 4


def test_all_steps_are_also_one_at_timestep_0():
    assert InjectionConfig(attention=1, features=1).at(0, FIFTY) == (True, True)


def test_a_sampler_with_other_timesteps_has_the_same_part_of_the_way():
    config, few = InjectionConfig(attention=0.5, features=0.0), (1, 251, 501, 751)
    assert [config.at(t, few).attention for t in (999, 502.5, 501, 500, 300, 0)] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(("num_layers", "first"), [(12, 4), (9, 3), (6, 2), (4, 1), (2, 0)])
def test_smaller_decoders_begin_in_proportion(num_layers, first):
    assert InjectionConfig().first_of(num_layers) == first
    assert InjectionConfig(first_layer=0).first_of(num_layers) == 0
    assert InjectionConfig(first_layer=11).first_of(num_layers) == num_layers - 1


@pytest.mark.parametrize(
    "wrong", [{"attention": 1.1}, {"features": -0.1}, {"features": float("nan")}, {"first_layer": 12}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        InjectionConfig(**wrong)
