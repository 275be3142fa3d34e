"""benchmarks/time_to_edit.py, edit_cost.py and work.py: the work that settings promise is the work that is done."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch

from benchmarks import edit_cost, time_to_edit
from benchmarks.work import Work, count_calls, plan_edit, plan_work
from demo.study import variants
from demo.study.jobs import Job
from demo.study.variants import Variant
from demo.study.worlds import shapes
from tav_core import EditConfig, InvertConfig, invert, load_checkpoint
from tav_core.sampling.step_time import count_inversion

SLIDE = shapes().clips["slide"]
TINY = dataclasses.replace(
    shapes(),
    clips={"slide": dataclasses.replace(SLIDE, scenes=SLIDE.scenes[:2])},
    tuning=dataclasses.replace(shapes().tuning, num_steps=2),
    sampling=dataclasses.replace(shapes().sampling, num_steps=4),
)


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(shapes().model)


@pytest.mark.parametrize(
    "variant",
    [
        Variant(),
        Variant(method="dpmpp_2m", sampling={"guidance_until": 0.5}),
        Variant(sampling={"deep_every": 3}),
        Variant(sampling={"deep_every": 2, "guidance_until": 0.5}, tuned_at=0.5),
        Variant(sampling={"merge_tokens": 0.5}),
        Variant(tuned=False, inverted=False, sampling={"guidance_scale": 1.0}),
    ],
    ids=["plain", "guidance ends", "deep layers", "half size", "merged tokens", "untuned"],
)
def test_the_work_of_the_settings_is_that_of_the_calls(monkeypatch, variant):
    monkeypatch.setitem(variants.VARIANTS, "tiny", variant)
    cost = edit_cost.measure_cost(TINY, "tiny", "slide")
    assert cost["counted"] == pytest.approx(cost["called"])
    assert cost["counted"] == pytest.approx(cost["tuning"] + cost["inversion"] + cost["edit"])
    assert cost["editing_seconds"] > 0 and cost["peak_bytes"] > 2**20
    assert 0 < cost["outer_share"] < 0.5


def test_the_originals_recipe_is_660_evaluations(checkpoint):
    work = plan_work(shapes(), variants.VARIANTS["twice the steps"], checkpoint.schedule, outer_share=0.1)
    assert work == Work(tuning=600, inversion=20, edit=40) and work.first_edit == 660


@pytest.mark.parametrize("method", ["ddim", "fixed_point", "o_belm", "dpmpp_2m"])
def test_an_inversion_is_counted_by_its_method(checkpoint, method):
    from tav_core import InflatedUNet, UNetDenoiser, encode_prompt

    denoiser = UNetDenoiser(unet=InflatedUNet.from_2d(checkpoint.unet), schedule=checkpoint.schedule)
    latents = torch.randn(1, 4, 2, 8, 8)
    with count_calls(latents) as calls:
        invert(denoiser, latents, encode_prompt(checkpoint, ""), num_steps=3, method=method, iterations=4)
    assert (
        calls.whole == count_inversion(InvertConfig(method=method, iterations=4), 3)[False]
        and calls.trained == calls.outer == 0
    )


def test_steps_that_reuse_the_deep_layers_are_counted_apart(checkpoint):
    # Six guided steps, then four without guidance: 1 0 0 1 0 0 | 1 0 0 1.
    config = EditConfig(num_steps=10, guidance_until=0.6, deep_every=3)
    assert plan_edit(config, checkpoint.schedule) == (2 * 2 + 2, 2 * 4 + 2)


def scored(world, right):
    return [world.scores(**dict.fromkeys((f.name for f in dataclasses.fields(world.scores)), right))] * 6


def test_what_is_known_is_not_rendered_again(tmp_path, monkeypatch, capsys):
    from demo.study.edit_scores import save_edits

    world, recipes = shapes(), ("original", "25 steps")
    jobs = [Job(variant=time_to_edit.RECIPES[name], clip="slide", seed=seed) for name in recipes for seed in (0, 1)]
    save_edits(world, tmp_path / "earlier.csv", jobs, [scored(world, share) for share in (1.0, 0.5, 1.0, 1.0)])
    cost = {"tuning": 75, "inversion": 20, "edit": 40, "counted": 135, "called": 135}
    cost |= {"tuning_seconds": 1.0, "editing_seconds": 2.0, "peak_bytes": 2**30, "outer_share": 0.1}
    (tmp_path / "shapes").mkdir()
    # That of the original was not measured: its line has what is counted alone.
    (tmp_path / "shapes" / "cost_min-SNR,-25-steps_slide.json").write_text(json.dumps(cost))
    monkeypatch.setattr(time_to_edit, "run_group", None)
    given = ["--world", "shapes", "--clips", "slide", "--known", "--earlier", str(tmp_path / "earlier.csv")]
    assert time_to_edit.main([*given, "--recipes", *recipes, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "| original | 660 | 100% | 40 | | | 12 | 2 |" in printed and "| 0.500 ± 0.500 |" in printed
    assert "| 25 steps | 135 | 20% | 40 | 3 | 1.00 GiB | 12 | 2 | 1.000 ± 0.000 |" in printed
    assert (tmp_path / "shapes" / "time_to_edit.png").stat().st_size > 1000
    with (tmp_path / "shapes" / "time_to_edit.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 24


def test_a_count_that_is_not_what_was_called_is_no_figure(tmp_path):
    (tmp_path / "cost_full_slide.json").write_text(json.dumps({"counted": 135, "called": 134}))
    with pytest.raises(AssertionError, match="135 counted, 134 called"):
        time_to_edit.find_cost(shapes(), "full", "slide", tmp_path, known=True)


def test_every_recipe_is_a_variant_and_is_told_apart():
    names = list(time_to_edit.RECIPES.values())
    assert set(names) <= set(variants.VARIANTS) and len(set(names)) == len(names)
    tunings = {name: variants.VARIANTS[name].motion_name for name in names}
    assert tunings["10 steps of DDIM"] == tunings["min-SNR, 25 steps"] != tunings["tuned at half size"]
    assert len(np.unique(list(tunings.values()))) == 6
