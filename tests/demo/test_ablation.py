"""demo/ablation.py: what each variant leaves out, and that an interrupted run continues where it stopped."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import torch

from demo import ablation
from demo.ablation import all_jobs, main, save_results, with_earlier
from demo.oracle.scores import ENOUGH, Scores
from demo.study import variant_edits
from demo.study.ablation_tables import format_parts, format_table, tabulate, tabulate_parts
from demo.study.edit_scores import save_edits
from demo.study.jobs import Job
from demo.study.tables import without_nan
from demo.study.variant_edits import render_edits, tuned_denoiser
from demo.study.variants import PAPER, VARIANTS, Variant
from demo.study.worlds import shapes
from demo.world.clips import changed_parts
from tav_core import FlowConfig, load_checkpoint

# Three frames are enough to move, and to have more than a first and a last one.
CLIP = dataclasses.replace(shapes().clips["slide"], scenes=shapes().clips["slide"].scenes[:3])
RECOLOURED = dataclasses.replace(CLIP, edits=CLIP.edits[1:2])
WORLD = dataclasses.replace(
    shapes(),
    tuning=dataclasses.replace(shapes().tuning, num_steps=2),
    sampling=dataclasses.replace(shapes().sampling, num_steps=2),
)


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setitem(ablation.WORLDS, "shapes", lambda: WORLD)


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(WORLD.model)


@pytest.fixture(scope="module")
def motions(tmp_path_factory):
    """A folder in which motions are found again."""
    return tmp_path_factory.mktemp("motions")


@pytest.fixture(scope="module")
def plain_video(checkpoint, motions):
    """One edit under plain Tune-A-Video."""
    return render_edits(WORLD, checkpoint, RECOLOURED, 0, motions, VARIANTS["full"])


def changed(checkpoint, out, variant):
    """Which kinds of weights a variant's tuning changes, and the model's modes."""
    unet = tuned_denoiser(WORLD, checkpoint, CLIP, 0, out, variant).unet
    untuned = tuned_denoiser(WORLD, checkpoint, CLIP, 0, out, Variant(tuned=False)).unet.state_dict()
    kinds = {"attn1.to_q": False, "attn2.to_q": False, "attn_temp": False}
    for name, tensor in unet.state_dict().items():
        for kind in kinds:
            kinds[kind] |= f".{kind}." in name and not torch.equal(tensor, untuned[name])
    return kinds, unet.modes


def test_what_each_variant_trains(checkpoint, motions):
    everything = {"attn1.to_q": True, "attn2.to_q": True, "attn_temp": True}
    kinds, modes = changed(checkpoint, motions, VARIANTS["full"])
    assert (kinds, modes["attention"], modes["positions"]) == (everything, "sparse_causal", "none")
    kinds, modes = changed(checkpoint, motions, VARIANTS["no ST-Attn"])
    assert (kinds, modes["attention"]) == (everything, "spatial")
    assert changed(checkpoint, motions, VARIANTS["no temporal"])[0] == {**everything, "attn_temp": False}
    assert not any(changed(checkpoint, motions, VARIANTS["no tuning"])[0].values())
    assert changed(checkpoint, motions, VARIANTS["rotary"])[1]["positions"] == "rotary"
    modes = changed(checkpoint, motions, VARIANTS["k-step"])[1]
    assert (modes["attention"], modes["attention_k"]) == ("sparse_causal_k", 4)


def test_without_inversion_the_seed_decides_the_start(checkpoint, motions):
    small = dataclasses.replace(CLIP, edits=CLIP.edits[:1])
    render = lambda seed, inverted: render_edits(  # noqa: E731
        WORLD, checkpoint, small, seed, motions, Variant(tuned=False, inverted=inverted)
    )
    inverted = render(0, True)
    assert np.array_equal(inverted, render(1, True))
    assert not np.array_equal(render(0, False), render(1, False))
    assert inverted.shape == (1, len(CLIP.scenes), 96, 96, 3)


@pytest.mark.parametrize(
    "name", ["source prompt", "source as negative", "fixed point", "exact", "injection", "mask", "adapter"]
)
def test_each_piece_changes_the_video(checkpoint, motions, plain_video, name):
    piece = render_edits(WORLD, checkpoint, RECOLOURED, 0, motions, VARIANTS[name])
    assert piece.shape == plain_video.shape and not np.array_equal(piece, plain_video)


def test_flow_guidance_changes_the_video(checkpoint, motions, plain_video):
    full = VARIANTS["full"]
    along = [dataclasses.replace(full, flow=FlowConfig(), flow_inverted=inverted) for inverted in (False, True)]
    videos = [plain_video, *(render_edits(WORLD, checkpoint, RECOLOURED, 0, motions, variant) for variant in along)]
    assert not any(np.array_equal(one, other) for one, other in itertools.combinations(videos, 2))


def test_jobs_hold_every_variant_and_leave_out_what_cannot_differ():
    jobs = all_jobs(["slide", "drop"], (0, 1, 2), list(VARIANTS))
    assert len(jobs) == len(set(jobs)) == 2 * (3 * (len(VARIANTS) - 2) + 2)
    assert set(PAPER) < set(VARIANTS)


def test_variants_that_share_a_motion_tune_once(checkpoint, tmp_path, monkeypatch):
    tuned_denoiser(WORLD, checkpoint, CLIP, 0, tmp_path, VARIANTS["full"])
    monkeypatch.setattr(variant_edits, "tune", None)
    tuned_denoiser(WORLD, checkpoint, CLIP, 0, tmp_path, VARIANTS["injection"])
    for seed, name in ((1, "full"), (0, "rotary"), (0, "k-step"), (0, "no temporal")):
        with pytest.raises(TypeError):
            tuned_denoiser(WORLD, checkpoint, CLIP, seed, tmp_path, VARIANTS[name])


def test_a_gpu_that_is_not_there_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["--world", "shapes", "--device", "cuda", "--out", str(tmp_path)])
    assert "leave the option out" in capsys.readouterr().err


def scores_of(right, path):
    return Scores(right=right, path=path, distance=2.0, agreement=0.9, kept=0.8, background_kept=math.nan, flicker=0.01)


def test_the_table_has_the_spread_of_the_seeds():
    jobs = [Job(variant="full", clip="slide", seed=seed) for seed in (0, 1)]
    rows, spread = tabulate(jobs, [[scores_of(1.0, 0.8), scores_of(0.5, 0.8)], [scores_of(1.0, 1.0)] * 2])
    assert rows["full"]["edits"] == 4 and rows["full"]["edits_right"] == 0.75
    assert spread["full"]["edits_right"] == pytest.approx(0.25) and spread["full"]["path"] == pytest.approx(0.1)
    cells = format_table(rows, spread).splitlines()[-1].split(" | ")
    assert cells[:3] == ["| full", "4", "0.750 ± 0.250"] and cells[4] == "0.900 ± 0.100"
    alone = tabulate(jobs[:1], [[scores_of(1.0, 0.8)]])
    assert format_table(*alone).splitlines()[-1].startswith("| full | 1 | 1.000 | 1.000 | 0.800 | 2.0 |")


def test_the_committed_figures_are_those_of_the_tables():
    """The tables of both pages come from the JSON that a run wrote."""
    kept = json.loads((WORLD.model.parent / "ablation.json").read_text())
    docs = WORLD.model.parents[1] / "docs"
    pages = "".join((docs / name).read_text(encoding="utf-8") for name in ("ablation.md", "pieces.md", "defaults.md"))
    tables = [format_table(kept["table"], kept["spread"]), format_parts(kept["parts"])]
    for line in "\n".join(tables).splitlines():
        assert line in pages
    with (WORLD.model.parent / "ablation.csv").open(newline="") as file:
        right = [float(row["right"]) >= ENOUGH for row in csv.DictReader(file) if row["variant"] == "best"]
    assert len(right) == kept["table"]["best"]["edits"]
    assert np.mean(right) == pytest.approx(kept["table"]["best"]["edits_right"])


def test_what_a_run_leaves(tmp_path, capsys):
    jobs = [Job(variant=variant, clip="slide", seed=0) for variant in ("full", "no tuning", "mask")]
    save_results(WORLD, tmp_path, jobs, [[scores_of(1.0, 0.8)] * len(CLIP.edits)] * 3)
    kept = json.loads((tmp_path / "ablation.json").read_text(), parse_constant=pytest.fail)
    assert kept["table"]["mask"]["edits"] == len(CLIP.edits) and kept["table"]["mask"]["background_kept"] is None
    assert set(kept["settings"]["variants"]) == {"full", "no tuning", "mask"}
    lines = (tmp_path / "ablation.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * len(CLIP.edits)
    assert lines[1] == f"full,slide,0,1,0.8,2,0.9,0.8,nan,0.01,{CLIP.edits[0].prompt}"
    assert {path.name for path in tmp_path.glob("*.png")} == {"ablation_plot.png", "pieces_plot.png"}
    assert "| no tuning | 6 | 1.000 |" in capsys.readouterr().out


def test_the_table_by_what_an_edit_changes():
    jobs, clip = [Job(variant="full", clip="slide", seed=0)], WORLD.clips["slide"]
    changes = [changed_parts(clip, edit) for edit in clip.edits]
    parts = tabulate_parts(WORLD, jobs, [[scores_of(float(each == ["shape"]), 1.0) for each in changes]])
    assert parts["full"]["shape"]["edits"] == changes.count(["shape"]) > 1
    assert [parts["full"][part]["edits_right"] for part in ("shape", "colour")] == [1, 0]
    assert format_parts(parts).splitlines()[2].startswith("| full | 1.000 | 0.800 | 0.000 | 0.800 |")


def test_json_has_null_for_what_is_no_number():
    assert without_nan({"a": [{"b": math.nan, "c": 1}], "d": "e"}) == {"a": [{"b": None, "c": 1}], "d": "e"}


def test_an_earlier_run_joins_the_tables(tmp_path):
    kept = [Job(variant=variant, clip="slide", seed=0) for variant in ("full", "mask")]
    save_edits(WORLD, tmp_path / "earlier.csv", kept, [[scores_of(0.123456, 0.8)] * len(CLIP.edits)] * 2)
    new = [Job(variant=variant, clip="slide", seed=0) for variant in ("mask", "no tuning")]
    jobs, scored = with_earlier(WORLD, new, [[scores_of(1.0, 0.5)] * len(CLIP.edits)] * 2, tmp_path / "earlier.csv")
    assert [job.variant for job in jobs] == ["full", "no tuning", "mask"]
    assert [scores[0].right for scores in scored] == [0.1235, 1.0, 1.0]
    assert [len(scores) for scores in scored] == [len(CLIP.edits)] * 3
