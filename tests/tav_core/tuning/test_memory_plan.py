"""tav_core/tuning/memory_plan.py: what is chosen for which memory, and the estimate against a count of the code."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from benchmarks.count_memory import count_tuning
from benchmarks.sizes import SIZES
from tav_core.errors import OutOfMemory
from tav_core.models import memory
from tav_core.models.unet import InflatedUNet
from tav_core.tuning import memory_plan
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.memory_plan import ACTIVATIONS, ACTIVATIONS_XL, MODES, Recompute, activations_of, plan_tuning
from tests.tav_core.counted_sizes import NARROW, unet_stub

CLIP = (1, 4, 24, 64, 64)
TRAINED = 74_000_000


@pytest.fixture
def unet():
    return unet_stub()


@pytest.fixture
def plan(unet, monkeypatch):
    def make(gigabytes, **config):
        free = None if gigabytes is None else int(gigabytes * 1e9)
        monkeypatch.setattr(memory_plan, "free_memory", lambda device: free)
        return plan_tuning(unet, CLIP, config=TuneConfig(**config), dtype=torch.bfloat16, num_trained=TRAINED)

    return make


def test_auto_takes_the_fastest_that_fits(plan):
    chosen = [plan(gigabytes).recompute for gigabytes in (140, 24, 14, 8, 6.5, 5.5)]
    order = list(ACTIVATIONS)
    assert chosen[0] == Recompute("nothing") and chosen[-1] == Recompute("layers")
    assert [order.index(recompute) for recompute in chosen] == sorted(order.index(recompute) for recompute in chosen)
    assert len(set(chosen)) >= 4


def test_a_plan_in_words(plan):
    assert str(plan(14)) == "recomputes blocks of 2 levels, needs about 9.2 GiB of 13.0 GiB free"
    assert str(plan(None)).startswith("recomputes blocks, needs about ")


def test_unknown_memory_takes_the_middle(plan):
    assert plan(None).recompute == MODES["balanced"]


def test_a_mode_or_recompute_asked_for_is_taken(plan):
    assert plan(140, memory="low").recompute == Recompute("layers")
    assert plan(140, memory="low", recompute="nothing").recompute == Recompute("nothing")


def test_too_little_says_what_would_fit(plan):
    with pytest.raises(OutOfMemory, match=r"24 frames.* about 4\.2 GiB.* 3\.3 GiB that are.*Use 16 frames"):
        plan(3.5)
    with pytest.raises(OutOfMemory, match=r"Use memory 'low', or 5 frames"):
        plan(8, memory="speed")


def test_the_frames_it_names_fit(plan, unet):
    with pytest.raises(OutOfMemory) as refused:
        plan(3.5)
    fitting = int(str(refused.value).split("Use ")[1].split(" frames")[0])
    fits = (1, 4, fitting, 64, 64)
    plan_tuning(unet, fits, config=TuneConfig(), dtype=torch.bfloat16, num_trained=TRAINED)


@pytest.mark.parametrize("recompute", [Recompute("nothing"), Recompute("blocks"), Recompute("layers")])
def test_estimate_against_a_count(recompute):
    """The peak of a tuning step without what is held between steps: activations and gradients."""
    counted = count_tuning(NARROW, 8, torch.bfloat16, recompute=recompute)
    assert estimated_step(recompute) == pytest.approx(counted["peak"] - counted["held"], rel=0.15)


def estimated_step(recompute):
    config = SimpleNamespace(block_out_channels=NARROW.unet["block_out_channels"])
    narrow = SimpleNamespace(config=config)
    return memory.activation_bytes(narrow, (1, 4, 8, 64, 64), torch.bfloat16, ACTIVATIONS[recompute])


# Stable Diffusion XL's layout, narrow enough to be counted in seconds.
NARROW_XL = replace(
    SIZES["sdxl"],
    unet={**SIZES["sdxl"].unet, "block_out_channels": (64, 128, 256), "attention_head_dim": (1, 2, 4)},
)


@pytest.mark.parametrize("recompute", [Recompute("nothing"), Recompute("blocks"), Recompute("layers")])
def test_sdxls_estimate_against_a_count(recompute):
    counted = count_tuning(NARROW_XL, 24, torch.bfloat16, recompute=recompute)
    narrow = SimpleNamespace(config=SimpleNamespace(block_out_channels=(64, 128, 256)))
    estimate = memory.activation_bytes(narrow, CLIP, torch.bfloat16, ACTIVATIONS_XL[recompute])
    assert estimate == pytest.approx(counted["peak"] - counted["held"], rel=0.15)


def test_sdxls_steps_are_planned_by_its_own_count(sdxl):
    last, whole = (InflatedUNet.from_2d(sdxl.unet, temporal=temporal) for temporal in ("last", "all"))
    assert activations_of(last) == ACTIVATIONS_XL
    assert list(activations_of(whole)) == list(ACTIVATIONS_XL)
    assert activations_of(whole)[Recompute("nothing")] > ACTIVATIONS_XL[Recompute("nothing")]
    costs = list(ACTIVATIONS_XL.values())
    assert costs == sorted(costs, reverse=True) and {*MODES.values()} <= {*ACTIVATIONS_XL}


@pytest.mark.parametrize(("side", "recompute"), [(64, Recompute("blocks")), (96, Recompute("layers"))])
def test_24_frames_of_sdxl_fit_into_16_gb(monkeypatch, side, recompute):
    """At 512 and 768 pixels, beside the model's 5.2 GB, with the defaults' 58 million values to train."""
    config = SimpleNamespace(block_out_channels=(320, 640, 1280), addition_embed_type="text_time")
    unet = SimpleNamespace(
        device=torch.device("cpu"), dtype=torch.bfloat16, config=config, recorded_modes={"temporal": "last"}
    )
    monkeypatch.setattr(memory_plan, "free_memory", lambda device: int(16e9 - 5.2e9))
    shape = (1, 4, 24, side, side)
    plan = plan_tuning(unet, shape, config=TuneConfig(), dtype=torch.bfloat16, num_trained=58_200_000)
    assert plan.recompute == recompute
