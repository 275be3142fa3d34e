"""benchmarks/peers.py in a real ComfyUI, as far as it needs no peer and no model of full size."""

from __future__ import annotations

from benchmarks import peer_start


def test_comfyui_starts_and_ends_without_touching_its_folders(comfyui, tmp_path):
    (tmp_path / "custom_nodes").mkdir()
    before = sorted((comfyui.path / "user").rglob("*")) if (comfyui.path / "user").exists() else []
    seconds, cpu_seconds = peer_start.time_start(comfyui.path, comfyui.python, tmp_path)
    assert seconds > 0 and cpu_seconds > 1
    assert before == (sorted((comfyui.path / "user").rglob("*")) if before else [])
