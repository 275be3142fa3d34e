"""tav_core/sampling/noise_steps.py: timesteps and levels against LaVie's and diffusers'."""

from __future__ import annotations

import itertools

import pytest
import torch

from tav_core.errors import ConfigError
from tav_core.models.lavie.schedules import lavie_schedule
from tav_core.sampling.noise_steps import even_steps, leading_steps, plan_steps, walk_steps
from tests.tav_core.lavie_models import golden, golden_meta

COUNTS = (10, 50)


def timesteps_of(steps):
    return [step.timestep for step in steps]


@pytest.fixture(scope="module")
def base():
    return lavie_schedule("base")


@pytest.mark.parametrize("count", COUNTS)
class TestLaVie:
    def test_ddim(self, base, count):
        steps = plan_steps("ddim", base, count)
        assert timesteps_of(steps) == golden_meta("base")["schedule"][f"ddim_{count}"]
        alphas = torch.tensor([step.alpha for step in steps])
        torch.testing.assert_close(alphas, golden("base", "schedule")[f"ddim_{count}.alphas"])
        assert steps[-1].alpha_to == pytest.approx(
            golden_meta("base")["schedule"]["ddim_final_alpha_cumprod"], abs=1e-8
        )

    def test_ddpm(self, base, count):
        steps = plan_steps("ddpm", base, count)
        assert timesteps_of(steps) == golden_meta("base")["schedule"][f"ddpm_{count}"]
        assert steps[-1].alpha_to == 1
        # The posterior's variance (DDPM, arXiv 2006.11239, eq. 7) is what eta 1 draws.
        variance = [(1 - s.alpha_to) / (1 - s.alpha) * (1 - s.alpha / s.alpha_to) for s in steps]
        expected = golden("base", "schedule")[f"ddpm_{count}.variance"]
        torch.testing.assert_close(torch.tensor(variance), expected, rtol=1e-4, atol=1e-6)

    def test_euler(self, base, count):
        steps, tensors = plan_steps("euler", base, count), golden("base", "schedule")
        torch.testing.assert_close(
            torch.tensor(timesteps_of(steps), dtype=torch.float64), tensors[f"euler_{count}.timesteps"]
        )
        sigmas = torch.tensor([base.sigma(step.timestep) for step in steps] + [0.0])
        torch.testing.assert_close(sigmas, tensors[f"euler_{count}.sigmas"], rtol=1e-4, atol=1e-5)

    def test_interpolation(self, count):
        steps = even_steps(lavie_schedule("interpolation"), count, whole=True)
        assert timesteps_of(steps) == golden_meta("interpolation")[f"timesteps_{count}"]
        assert steps[-1].alpha_to == 1

    def test_super_resolution(self, count):
        steps = leading_steps(lavie_schedule("super_resolution"), count)
        assert timesteps_of(steps) == golden_meta("super_resolution")["schedule"][f"ddim_{count}"]


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "euler"])
@pytest.mark.parametrize("count", [1, 2, 7, 999])
def test_levels_connect_and_fall(base, sampler, count):
    steps = plan_steps(sampler, base, count)
    assert len(steps) == count
    assert all(step.alpha_to == later.alpha for step, later in itertools.pairwise(steps))
    assert all(step.alpha < step.alpha_to <= 1 for step in steps)


@pytest.mark.parametrize("count", [0, -1, 1001, 2.5])
def test_numbers_of_steps_that_do_not_fit_are_refused(base, count):
    for sampler in ("ddim", "euler"):
        with pytest.raises(ConfigError, match="steps"):
            plan_steps(sampler, base, count)


def test_a_perfect_model_is_followed_to_the_clean_latents(base):
    clean, start = torch.randn(2, 1, 4, 2, 3, 3, dtype=torch.float64)
    for sampler in ("ddim", "euler"):
        steps = plan_steps(sampler, base, 20)

        def epsilon(latents, timestep):
            alpha = base.alpha(timestep)
            return (latents - alpha**0.5 * clean) / (1 - alpha) ** 0.5

        noisy = steps[0].alpha ** 0.5 * clean + (1 - steps[0].alpha) ** 0.5 * start
        reached = walk_steps(epsilon, noisy, steps)
        left = (1 - steps[-1].alpha_to) ** 0.5
        torch.testing.assert_close(reached, (1 - left**2) ** 0.5 * clean + left * start, rtol=0, atol=1e-9)
