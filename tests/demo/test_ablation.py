"""demo/ablation.py: what each variant leaves out, and that a run goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from demo import ablation
from demo.ablation import VARIANTS, Job, all_jobs, format_table, render_edits, run_job, score_job, tuned_denoiser
from demo.clips import clip_named
from tav_core import load_checkpoint

CLIP = clip_named("slide")


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(ablation, "TUNE", dataclasses.replace(ablation.TUNE, num_steps=2))
    monkeypatch.setattr(ablation, "EDIT", dataclasses.replace(ablation.EDIT, num_steps=2))


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(ablation.MODEL)


def changed(checkpoint, out, **variant):
    """Which kinds of weights a variant's tuning changes."""
    unet = tuned_denoiser(checkpoint, CLIP, 0, out, **variant).unet
    untuned = tuned_denoiser(checkpoint, CLIP, 0, out, tuned=False).unet.state_dict()
    kinds = {"attn1.to_q": False, "attn2.to_q": False, "attn_temp": False}
    for name, tensor in unet.state_dict().items():
        for kind in kinds:
            kinds[kind] |= f".{kind}." in name and not np.array_equal(tensor, untuned[name])
    return kinds, unet.modes["attention"]


def test_what_each_variant_trains(checkpoint, tmp_path):
    everything = {"attn1.to_q": True, "attn2.to_q": True, "attn_temp": True}
    assert changed(checkpoint, tmp_path) == (everything, "sparse_causal")
    assert changed(checkpoint, tmp_path, attention="spatial") == (everything, "spatial")
    assert changed(checkpoint, tmp_path, modules=VARIANTS["no temporal"]["modules"])[0] == {
        **everything,
        "attn_temp": False,
    }
    assert not any(changed(checkpoint, tmp_path, tuned=False)[0].values())


def test_without_inversion_the_seed_decides_the_start(checkpoint, tmp_path):
    small = dataclasses.replace(CLIP, edits=CLIP.edits[:1])
    render = lambda seed, inverted: render_edits(  # noqa: E731
        checkpoint, small, seed, tmp_path, tuned=False, inverted=inverted
    )
    assert np.array_equal(render(0, True), render(1, True))
    assert not np.array_equal(render(0, False), render(1, False))
    assert render(0, True).shape == (1, 8, 96, 96, 3)


def test_jobs_hold_every_variant_and_leave_out_what_cannot_differ():
    jobs = all_jobs(["slide", "drop"], (0, 1, 2), list(VARIANTS))
    assert len(jobs) == len(set(jobs)) == 2 * (3 * (len(VARIANTS) - 1) + 1)


def test_variants_that_share_a_motion_tune_once(checkpoint, tmp_path, monkeypatch):
    tuned_denoiser(checkpoint, CLIP, 0, tmp_path)
    monkeypatch.setattr(ablation, "tune", None)
    tuned_denoiser(checkpoint, CLIP, 0, tmp_path)
    with pytest.raises(TypeError):
        tuned_denoiser(checkpoint, CLIP, 1, tmp_path)


def test_a_job_that_is_done_is_not_done_again(tmp_path, monkeypatch):
    job = Job(variant="no tuning", clip="slide", seed=0)
    run_job(job, tmp_path)
    monkeypatch.setattr(ablation, "render_edits", None)
    run_job(job, tmp_path)
    scores = score_job(job, tmp_path)
    assert len(scores) == len(CLIP.edits)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


def test_the_table_names_every_variant():
    row = {"edits": 6, "edits_right": 1.0, "right": 1.0, "path": 0.9, "distance": 2.0, "agreement": 0.9}
    table = format_table({"full": {**row, "kept": 0.8, "flicker": 0.01}})
    assert table.splitlines()[-1] == "| full | 6 | 1.000 | 1.000 | 0.900 | 2.0 | 0.900 | 0.800 | 0.0100 |"


def test_the_committed_figures_are_those_of_the_table():
    """The README's table comes from the JSON that a run wrote."""
    kept = json.loads((ablation.MODEL.parent / "ablation.json").read_text())
    readme = (ablation.MODEL.parents[1] / "README.md").read_text()
    for line in format_table(kept["table"]).splitlines():
        assert line in readme
