"""benchmarks/peers.py in a real ComfyUI, as far as it needs no peer and no model of full size."""

from __future__ import annotations

import pytest

from benchmarks import peer_server, peer_start, peers


def test_the_nodes_job_runs_and_is_counted(comfyui, monkeypatch):
    monkeypatch.setitem(peers.JOB, "tune_steps", 2)
    monkeypatch.setitem(peers.JOB, "num_steps", 2)
    job = peer_server.NodesJob(comfyui.python, comfyui.path, threads=1)
    try:
        job.wait_ready()
        assert all(job.run(seed)["cpu_seconds"] > 0.5 for seed in (1, 2))
        job.process.kill()
        job.process.wait()
        with pytest.raises(RuntimeError, match="did not start"):
            job.wait_ready()
    finally:
        job.close()


def test_comfyui_starts_and_ends_without_touching_its_folders(comfyui, tmp_path):
    (tmp_path / "custom_nodes").mkdir()
    before = sorted((comfyui.path / "user").rglob("*")) if (comfyui.path / "user").exists() else []
    seconds, cpu_seconds = peer_start.time_start(comfyui.path, comfyui.python, tmp_path)
    assert seconds > 0 and cpu_seconds > 1
    assert before == (sorted((comfyui.path / "user").rglob("*")) if before else [])
