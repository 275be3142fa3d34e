"""demo/study/rendering.py: which jobs share a process, and that no work is done twice."""

from __future__ import annotations

import dataclasses

import pytest

from demo.ablation import all_jobs, score_job
from demo.study import rendering, variant_edits
from demo.study.jobs import Job
from demo.study.rendering import checkpoint_of, group_jobs, run_group, run_job
from demo.study.worlds import WORLDS, shapes

SLIDE = shapes().clips["slide"]
WORLD = dataclasses.replace(
    shapes(),
    clips={**shapes().clips, "slide": dataclasses.replace(SLIDE, scenes=SLIDE.scenes[:3], edits=SLIDE.edits[:2])},
    tuning=dataclasses.replace(shapes().tuning, num_steps=2),
    sampling=dataclasses.replace(shapes().sampling, num_steps=2),
)


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setitem(WORLDS, "shapes", lambda: WORLD)


def test_a_job_that_is_done_is_not_done_again(tmp_path, monkeypatch):
    job = Job(variant="no tuning", clip="slide", seed=0)
    run_job("shapes", job, tmp_path)
    monkeypatch.setattr(rendering, "render_edits", None)
    run_job("shapes", job, tmp_path)
    scores = score_job("shapes", job, tmp_path)
    assert len(scores) == len(WORLD.clips["slide"].edits)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


def test_jobs_that_share_a_motion_are_one_group():
    names = ["full", "no temporal", "mask", "no tuning", "drawn", "injection"]
    groups = group_jobs(all_jobs(["slide", "drop"], (0, 1), names))
    assert [[job.variant for job in group] for group in groups if (group[0].clip, group[0].seed) == ("slide", 0)] == [
        ["full", "mask", "injection"],
        ["no temporal"],
        ["no tuning"],
        ["drawn"],
    ]
    assert all(len({(job.clip, job.seed) for job in group}) == 1 for group in groups)


def test_a_group_tunes_once_with_one_model(tmp_path, monkeypatch):
    tuned, tune = [], variant_edits.tune
    monkeypatch.setattr(variant_edits, "tune", lambda *args, **kwargs: tuned.append(kwargs) or tune(*args, **kwargs))
    jobs = [Job(variant=variant, clip="slide", seed=0) for variant in ("full", "mask")]
    assert run_group("shapes", jobs, tmp_path) == jobs
    assert len(tuned) == 1 and tuned[0]["config"].precision == "fp32"
    assert checkpoint_of("shapes", "cpu") is checkpoint_of("shapes", "cpu")
