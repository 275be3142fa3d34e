"""tav_core/models/traffic.py and device_rates.py, and benchmarks/roofline.py: bytes and operations by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.cards import CARDS
from benchmarks.flops import forward_flops
from benchmarks.roofline import BACKWARD, avoidable_bytes, by_kind, count_stage, counting_places
from benchmarks.sizes import SIZES
from benchmarks.workload import Workload
from tav_core.models.device_rates import DeviceRates, floor_of, seconds_on
from tav_core.models.traffic import Operation

SLOW = DeviceRates(name="slow", half=100.0, full=10.0, bandwidth=1000.0)


def operations_of(run):
    with counting_places() as traffic:
        run()
    return traffic.operations


def tensor(*shape, dtype=torch.float32):
    return torch.empty(shape, device="meta", dtype=dtype)


def test_a_matrix_product_by_hand():
    left, right = tensor(3, 5), tensor(5, 7)
    (product,) = operations_of(lambda: left @ right)
    assert (product.kind, product.flops) == ("matrix product", 2 * 3 * 5 * 7)
    assert product.moved == 4 * (3 * 5 + 5 * 7 + 3 * 7)


def test_views_move_nothing_and_copies_move_twice():
    tokens = tensor(2, 3, 4)
    assert operations_of(lambda: tokens.transpose(0, 1)[:, :1].unsqueeze(0)) == []
    (copied,) = operations_of(lambda: tokens.transpose(0, 1).contiguous())
    assert (copied.kind, copied.moved) == ("layout copy", 2 * tokens.nbytes)
    (cast,) = operations_of(lambda: tokens.half())
    assert (cast.kind, cast.moved) == ("cast", tokens.nbytes * 3 // 2)


def test_what_an_expansion_repeats_is_read_once():
    row, table = tensor(1, 5), tensor(4, 5)
    (added,) = operations_of(lambda: table + row.expand(4, 5))
    assert added.moved == 4 * (20 + 5 + 20)


def test_a_group_norm_reads_its_input_twice():
    norm, images = nn.GroupNorm(2, 4, device="meta"), tensor(1, 4, 8, 8)
    (counted,) = operations_of(lambda: norm(images))
    assert counted.kind == "norm"
    assert counted.moved == pytest.approx(3 * images.nbytes, rel=0.1)
    assert avoidable_bytes([counted])["norm read again"] == counted.moved // 3


def test_attention_is_one_kernel_forwards_and_backwards():
    query = tensor(1, 2, 6, 8).requires_grad_()
    key, value = (tensor(1, 2, 5, 8).requires_grad_() for _ in range(2))
    counted = operations_of(lambda: F.scaled_dot_product_attention(query, key, value).sum().backward())
    attention = [each for each in counted if each.kind == "attention"]
    product = 2 * 2 * 6 * 5 * 8
    assert [each.flops for each in attention] == [2 * product, 5 * product]
    assert attention[0].moved == 2 * query.nbytes + 2 * key.nbytes
    assert attention[1].module == BACKWARD


def test_a_floor_is_the_slower_of_both_rates():
    one = {"name": "mm", "kind": "matrix product", "module": "", "itemsize": 4}
    assert floor_of(Operation(**one, flops=100, moved=100), SLOW) == 10.0
    assert floor_of(Operation(**one, flops=100, moved=20_000), SLOW) == 20.0
    assert floor_of(Operation(**{**one, "itemsize": 2}, flops=100, moved=0), SLOW) == 1.0


@pytest.mark.parametrize("stage", ["forward", "guided-step", "tune-step", "encode", "decode"])
def test_every_stage_has_a_floor_on_every_card(stage):
    operations = count_stage(stage, SIZES["demo"], 3, torch.bfloat16)
    kinds = by_kind(operations, CARDS["h100"])
    assert {"matrix product", "convolution", "attention", "norm"} <= set(kinds)
    floors = {name: seconds_on(operations, card) for name, card in CARDS.items()}
    assert sum(seconds for _, _, seconds in kinds.values()) == pytest.approx(floors["h100"])
    assert 0 < floors["h200"] <= floors["h100"] < floors["4090"] < floors["3060"]


def test_a_forward_pass_has_as_many_operations_as_pytorch_counts(small_case):
    case = small_case(size="demo", num_frames=4, pixels=96)
    operations = count_stage("forward", SIZES["demo"], 4, torch.float32)
    assert sum(each.flops for each in operations) == forward_flops(Workload(case=case, meta=True))


def test_few_bytes_of_a_tuning_step_are_avoidable():
    """Of Stable Diffusion 1.5's at its own size, whose figures are in benchmarks/README.md."""
    operations = count_stage("tune-step", SIZES["sd15"], 24, torch.bfloat16)
    spared = avoidable_bytes(operations)
    assert spared["slices' gradients"] == 0
    assert sum(spared.values()) < 0.1 * sum(each.moved for each in operations)
