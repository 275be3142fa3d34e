"""Cosines, against sums written out."""

from __future__ import annotations

import math

import pytest
import torch

from tav_core.metrics.similarity import (
    consecutive_similarity,
    frame_consistency,
    matched_similarity,
    text_similarity,
)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


@pytest.fixture
def embeddings():
    return torch.randn((5, 7), generator=torch.Generator().manual_seed(0))


def test_all_pairs_are_the_ordered_ones_of_different_frames(embeddings):
    rows = embeddings.tolist()
    pairs = [cosine(rows[i], rows[j]) for i in range(5) for j in range(5) if i != j]
    assert float(frame_consistency(embeddings)) == pytest.approx(100 * sum(pairs) / len(pairs))


def test_consecutive_pairs(embeddings):
    rows = embeddings.tolist()
    pairs = [100 * cosine(rows[i], rows[i + 1]) for i in range(4)]
    assert consecutive_similarity(embeddings).tolist() == pytest.approx(pairs)
    assert float(frame_consistency(embeddings, "consecutive")) == pytest.approx(sum(pairs) / 4)


def test_drift_shows_in_all_pairs_alone():
    angles = torch.arange(8) * 0.1
    drifting = torch.stack([angles.cos(), angles.sin()], -1)
    assert frame_consistency(drifting, "consecutive") > 99
    assert frame_consistency(drifting) < 96


def test_equal_frames_are_at_100_whatever_their_length(embeddings):
    same = embeddings[:1] * torch.tensor([[1.0], [3.0], [0.2]])
    assert float(frame_consistency(same)) == pytest.approx(100)


def test_text_and_source(embeddings):
    rows, text = embeddings.tolist(), torch.randn((1, 7), generator=torch.Generator().manual_seed(1))
    expected = [100 * cosine(row, text[0].tolist()) for row in rows]
    assert text_similarity(embeddings, text).tolist() == pytest.approx(expected)
    assert matched_similarity(embeddings, embeddings * 2).tolist() == pytest.approx([100] * 5)
    assert matched_similarity(embeddings, -embeddings).tolist() == pytest.approx([-100] * 5)
