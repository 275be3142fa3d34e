"""tav_core/models/memory.py: estimates against counts of the library's own code, and what a device has left."""

from __future__ import annotations

import pytest
import torch

from benchmarks.count_memory import count_forward
from tav_core.errors import OutOfMemory
from tav_core.models import memory
from tav_core.models.memory import estimate_sampling
from tests.tav_core.counted_sizes import NARROW, unet_stub


@pytest.fixture
def unet():
    return unet_stub()


@pytest.mark.parametrize("controlnets", [False, True])
def test_sampling_against_a_count(unet, controlnets):
    unet.config.block_out_channels = NARROW.unet["block_out_channels"]
    # As much narrower as the model is.
    hint_widths = (3, 6, 19, 51) if controlnets else ()
    counted = count_forward(NARROW, 8, torch.bfloat16, hint_widths=hint_widths)
    estimate = estimate_sampling(unet, (1, 4, 8, 64, 64), controlnets=controlnets) / memory.HEADROOM
    assert estimate == pytest.approx(counted["peak"] - counted["held"], rel=0.15)


def test_flow_guidance_fits_into_the_headroom():
    plain, guided = (count_forward(NARROW, 8, torch.bfloat16, flow=flow) for flow in (False, True))
    assert plain["held"] == guided["held"]
    needed = [counted["peak"] - counted["held"] for counted in (plain, guided)]
    assert 1 <= needed[1] / needed[0] < memory.HEADROOM


def test_sampling_that_does_not_fit_names_what_would(unet, monkeypatch):
    clip = (1, 4, 256, 64, 64)
    monkeypatch.setattr(memory, "free_memory", lambda device: int(6e9))
    with pytest.raises(
        OutOfMemory, match=r"256 frames at once.* about 23\.1 GiB.* 5\.6 GiB.* windows of 61 frames"
    ) as no:
        memory.check_sampling(unet, clip, guided=True)
    fitting = int(str(no.value).split("windows of ")[1].split(" frames")[0])
    memory.check_sampling(unet, (1, 4, fitting, 64, 64), guided=True)
    monkeypatch.setattr(memory, "free_memory", lambda device: None)
    memory.check_sampling(unet, clip, guided=True)


def test_free_memory_is_told():
    free = memory.free_memory(torch.device("cpu"))
    assert free is None or 10**8 < free < 10**14
    assert memory.free_memory(torch.device("mps")) is None


@pytest.mark.parametrize(("fraction", "free"), [(1.0, 32), (0.5, 32), (0.25, 12), (None, 32)])
def test_a_gpus_free_memory_knows_the_cache_and_the_processes_limit(monkeypatch, fraction, free):
    """Of 80 GB: 30 free, 10 reserved, of which 8 hold tensors."""
    told = {
        "mem_get_info": (30, 80),
        "memory_reserved": 10,
        "memory_allocated": 8,
        "get_per_process_memory_fraction": fraction,
    }
    for name, value in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value, raising=False)
    if fraction is None:
        monkeypatch.delattr(torch.cuda, "get_per_process_memory_fraction")
    assert memory.free_memory(torch.device("cuda")) == free
