"""benchmarks/peers.py in a real ComfyUI, as far as it needs no peer and no model of full size."""

from __future__ import annotations

from benchmarks import peer_start, peers
from benchmarks.peer_jobs import compare_frames, median_parts, open_jobs


def test_comfyui_starts_and_ends_without_touching_its_folders(comfyui, tmp_path):
    (tmp_path / "custom_nodes").mkdir()
    before = sorted((comfyui.path / "user").rglob("*")) if (comfyui.path / "user").exists() else []
    seconds, cpu_seconds = peer_start.time_start(comfyui.path, comfyui.python, tmp_path)
    assert seconds > 0 and cpu_seconds > 1
    assert before == (sorted((comfyui.path / "user").rglob("*")) if before else [])


def test_a_job_by_the_nodes_gives_the_frames_of_the_library(comfyui):
    task = {"num_steps": 2, "tune_steps": 2, "threads": 1}
    with open_jobs(comfyui.path, comfyui.python, task) as contestants:
        turns = peers.run_in_turn(contestants, 1)
        apart = compare_frames(turns[-1])
    assert apart["largest"] <= 2 and apart["mean"] < 0.01, "levels of 255; two hosts round differently"
    assert all(len(turn[who]["frames"]) == 8 for turn in turns for who in contestants)
    for who in contestants:
        parts = median_parts(turns, who)
        assert {"demo", "texts", "encode", "tune", "invert", "edit", "decode", "save"} <= set(parts)
        assert sum(parts.values()) <= 1.01 * turns[-1][who]["cpu_seconds"]
