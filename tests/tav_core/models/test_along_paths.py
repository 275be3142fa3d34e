"""Attention along paths against a loop over tokens, and what its batches hold."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from tav_core.models.along_paths import AlongPaths, attend_along, group_paths
from tav_core.models.attention import attend

HEADS, WIDTH, FRAMES, HEIGHT, LENGTH = 2, 8, 5, 3, 4
plain = partial(attend, heads=HEADS, upcast=False, backend="sdpa")


@pytest.fixture
def paths():
    """Paths of all lengths: few numbers, drawn at random, at most one token of each in a frame."""
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randperm(20, generator=generator)[: HEIGHT * LENGTH] for _ in range(FRAMES)]
    return torch.stack(rows).view(FRAMES, HEIGHT, LENGTH)


@pytest.fixture
def tokens():
    shape = (2 * FRAMES, HEIGHT * LENGTH, WIDTH)
    return [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3, 4)]


def one_by_one(query, key, value, paths):
    """Each token's softmax over the tokens of its path, by hand."""
    query, key, value = (x.view(2, -1, HEADS, WIDTH // HEADS) for x in (query, key, value))
    numbers, output = paths.flatten(), torch.empty_like(value)
    for video in range(2):
        for token, number in enumerate(numbers):
            members = numbers == number
            for head in range(HEADS):
                scores = key[video, members, head] @ query[video, token, head] / (WIDTH // HEADS) ** 0.5
                output[video, token, head] = scores.softmax(0) @ value[video, members, head]
    return output.reshape(2 * FRAMES, -1, WIDTH)


def test_each_token_attends_to_its_path(paths, tokens):
    torch.testing.assert_close(attend_along(*tokens, group_paths(paths), plain), one_by_one(*tokens, paths))


def test_the_given_tensors_stay_as_they_are(paths, tokens):
    before = [x.clone() for x in tokens]
    attend_along(*tokens, group_paths(paths), plain)
    assert all(map(torch.equal, tokens, before))


def test_groups_hold_every_token_of_a_longer_path_once(paths):
    members = group_paths(paths).members
    lengths = [part.shape[1] for part in members]
    assert lengths == sorted(set(lengths)) and min(lengths) > 1
    held = torch.cat([part.flatten() for part in members])
    assert len(held.unique()) == len(held)
    numbers = paths.flatten()
    for part in members:
        assert (numbers[part] == numbers[part[:, :1]]).all()
    alone = sum(count == 1 for count in numbers.unique(return_counts=True)[1].tolist())
    assert len(held) == paths.numel() - alone


def test_paths_of_one_token_change_nothing(tokens):
    groups = group_paths(torch.arange(FRAMES * HEIGHT * LENGTH).view(FRAMES, HEIGHT, LENGTH))
    assert groups.members == () and torch.equal(attend_along(*tokens, groups, plain), tokens[2])


def test_tokens_are_compared_by_what_the_setting_says(paths, tokens):
    query, key, output = tokens
    groups = {HEIGHT * LENGTH: group_paths(paths)}
    by_queries = AlongPaths(match="queries", groups=groups)(query, key, output, plain)
    by_output = AlongPaths(match="output", groups=groups)(query, key, output, plain)
    torch.testing.assert_close(by_queries, one_by_one(query, key, output, paths))
    torch.testing.assert_close(by_output, one_by_one(output, output, output, paths))


def test_layers_of_another_size_are_left_alone(paths, tokens):
    along = AlongPaths(match="output", groups={99: group_paths(paths)})
    assert along(*tokens, plain) is tokens[2]


def test_what_attends_is_each_token_once_and_not_once_per_frame(paths, tokens):
    """Counted: the original gathers all frames' keys for every token, which is as many times as much as frames."""
    asked = []

    def count(query, key, value):
        asked.append(key.numel())
        return plain(query, key, value)

    attend_along(*tokens, group_paths(paths), count)
    assert sum(asked) <= tokens[1].numel()
