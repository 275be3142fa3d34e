"""benchmarks/merged_tokens.py: what merging saves, against the same count by hand."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import merged_tokens
from benchmarks.cards import CARDS
from benchmarks.merged_tokens import count_prediction, saved, slowed
from benchmarks.sizes import SIZES

SMALL = replace(SIZES["small"], pixels=128)


def attention_flops(operations, place):
    return sum(each.flops for each in operations if each.kind == "attention" and place in each.module)


def test_half_of_the_tokens_are_a_quarter_of_the_finest_attention():
    plain, merged = (count_prediction(SMALL, 3, ratio) for ratio in (0.0, 0.5))
    finest, deeper = "down_blocks.0.attentions.0.transformer_blocks.0.attn1", "down_blocks.1.attentions.0"
    # Frames 0 and 1 ask 256 tokens, frame 2 asks 512; 4 operations for each pair and channel.
    assert attention_flops(plain, finest) == 4 * 128 * 256 * (256 + 256 + 512)
    assert attention_flops(merged, finest) * 4 == attention_flops(plain, finest)
    assert attention_flops(merged, deeper) == attention_flops(plain, deeper) > 0


def test_nothing_merged_saves_nothing_and_a_slow_attention_more():
    plain, merged = (count_prediction(SMALL, 3, ratio) for ratio in (0.0, 0.5))
    card = replace(CARDS["3060"], bandwidth=1e15)
    assert saved(plain, plain, card) == 0
    assert 0 < saved(plain, merged, card) < saved(plain, merged, slowed(card)) < 1


def test_the_table_has_a_line_for_each_size(capsys):
    merged_tokens.main(["--size", "small", "--pixels", "64", "128", "--num-frames", "2", "--card", "3060"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| pixels | operations | RTX 3060 12 GB |" and [line[:6] for line in lines[2:]] == [
        "| 64 |",
        "| 128 ",
    ]


def test_one_prediction_is_timed_here(capsys):
    merged_tokens.main(["--measure", "--size", "demo", "--pixels", "96", "--num-frames", "2"])
    assert "CPU seconds, peak" in capsys.readouterr().out
