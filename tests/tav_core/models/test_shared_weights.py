"""A copy of a module tree has the weights of the first one, and nothing else of it."""

from __future__ import annotations

import torch
from torch import nn

from tav_core.models.shared_weights import copy_structure


def test_a_copy_shares_the_weights_and_no_tables_of_hooks(unet_2d):
    copied = copy_structure(unet_2d)
    pairs = list(zip(copied.modules(), unet_2d.modules(), strict=True))
    assert all(type(one) is type(other) and one is not other for one, other in pairs)
    for one, other in pairs:
        for name, table in vars(one).items():
            if isinstance(table, dict):
                assert type(table) is type(vars(other)[name])
                assert table is not vars(other)[name], f"{name} of {type(one).__name__}"
    both = zip(copied.parameters(), unet_2d.parameters(), strict=True)
    assert all(one.data_ptr() == other.data_ptr() and one is not other for one, other in both)


def test_a_table_that_two_modules_share_is_shared_in_the_copy():
    pair = nn.Sequential(nn.Identity(), nn.Identity())
    pair[0].notes = pair[1].notes = {}
    copied = copy_structure(pair)
    copied[0].notes["seen"] = torch.ones(1)
    assert copied[1].notes is copied[0].notes and pair[0].notes == {}
