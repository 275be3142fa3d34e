"""Results of many edits: the table, its means, the page, exports, and which jobs a run takes."""

from __future__ import annotations

import csv
import dataclasses
import html
import json
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tav_core.batch.choose import parse_shard, take_only, take_shard
from tav_core.batch.driver import hash_files, run_batch
from tav_core.batch.export import export
from tav_core.batch.job_folder import read_json, write_json
from tav_core.batch.manifest.jobs import ClipJob, Edit
from tav_core.batch.manifest.read import read_manifest
from tav_core.batch.page import write_page
from tav_core.batch.recipe import Modes, Recipe
from tav_core.batch.results import ALL_SCORES, collect_rows, describe, means, write_results
from tav_core.errors import ConfigError
from tav_core.metrics.field import PUBLISHED
from tav_core.sampling.config import EditConfig
from tav_core.video.clip import read_clip
from tav_core.video.config import ClipConfig
from tav_core.video.write import write_video
from tests.tav_core.batch.conftest import SIDE, SMALL

HOSTILE = '</td><script>alert(1)</script><img src=x onerror="alert(1)">'


def fake_jobs(count):
    edits = tuple(Edit(type=kind, prompt=f"{kind} {HOSTILE}") for kind in ("style", "object"))
    return [
        ClipJob(
            name=f"clip {number}",
            folder=f"clip-{number}",
            split=("one", "two")[number % 2],
            clip="/nowhere.mp4",
            prompt="a clip",
            config=ClipConfig(),
            edits=edits,
        )
        for number in range(count)
    ]


def fake_rows(count, **scores):
    rows = []
    for number, job in enumerate(fake_jobs(count)):
        for edit in job.edits:
            about = describe(job, edit, Recipe(model="m"))
            about |= {"state": "done", "video": f"jobs/{job.folder}/edits/{edit.type} #1.mp4"}
            about |= dict.fromkeys(ALL_SCORES)
            about |= {"warp_error": 0.01 * number, "error": "", "host": "h", "gpu": "", "attempt": 1, **scores}
            rows.append(about)
    return rows


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]


def test_three_hundred_edits_take_seconds(tmp_path):
    began = time.monotonic()
    rows = fake_rows(150, loveu_frames=0.9)
    rows[3] |= {"state": "failed", "error": f"tune: {HOSTILE}"}
    files = write_results(tmp_path, rows)
    text = write_page(tmp_path, rows, Recipe(model=HOSTILE).as_json()).read_text()
    assert time.monotonic() - began < 20
    page = Page(text)
    assert page.tags.count("script") == 1 and page.tags.count("img") == 0 and len(text) < 1e6
    assert page.tags.count("tr") >= 300 and page.links[0] == "jobs/clip-0/edits/style%20%231.mp4"
    assert "published, not measured here" in text and html.escape(PUBLISHED[0].method) in text
    with files[0].open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert len(read) == 300 and read[5]["edit"] == rows[5]["edit"] and read[3]["state"] == "failed"


def test_parquet_has_the_same_rows(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = fake_rows(3)
    write_results(tmp_path, rows)
    read = parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert read == rows
    # A column that is empty as yet has the type that it will have.
    assert str(parquet.read_schema(tmp_path / "results.parquet").field("clip_text").type) == "double"


def test_without_pyarrow_there_is_the_csv(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert [path.name for path in write_results(tmp_path, fake_rows(1))] == ["results.csv"]


def test_means_by_split_and_type():
    rows = fake_rows(3)
    rows[0] |= {"state": "failed", "warp_error": None}
    rows[1] |= {"warp_error": float("inf")}
    found = {each["group"]: each for each in means(rows)}
    assert {name: each["edits"] for name, each in found.items()} == {
        "all": 5,
        "split one": 3,
        "split two": 2,
        "type style": 2,
        "type object": 3,
    }
    assert found["all"]["warp_error"] == pytest.approx((0.01 + 0.01 + 0.02 + 0.02) / 4)
    assert "clip_text" not in found["all"]
    # A second edit of a type has a number, and is of the type.
    rows[2] |= {"type": "style-2"}
    assert {each["group"]: each["edits"] for each in means(rows)}["type style"] == 2


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_shards_are_disjoint_and_complete(parts):
    jobs = fake_jobs(7)
    shards = [take_shard(jobs, parse_shard(f"{part}/{parts}")) for part in range(1, parts + 1)]
    names = [job.name for shard in shards for job in shard]
    assert sorted(names) == sorted(job.name for job in jobs)


@pytest.mark.parametrize("text", ["0/3", "4/3", "a/b", "1", "1/0", "-1/3", "1/3/5", ""])
def test_a_shard_that_is_none(text):
    with pytest.raises(ConfigError, match="--shard"):
        parse_shard(text)


def test_only_some(tmp_path):
    jobs = fake_jobs(12)
    assert [job.name for job in take_only(jobs, "clip 1*")] == ["clip 1", "clip 10", "clip 11"]
    assert all([edit.type for edit in job.edits] == ["style"] for job in take_only(jobs, "*/style"))
    numbered = [dataclasses.replace(jobs[0].edits[0], type=kind) for kind in ("style", "style-2", "no-3", "other")]
    (job,) = take_only([dataclasses.replace(jobs[0], edits=tuple(numbered))], "*/style")
    assert [edit.type for edit in job.edits] == ["style", "style-2"]
    with pytest.raises(ConfigError, match="names none of 12 clips"):
        take_only(jobs, "dog")


def test_shards_at_once_leave_the_whole_table(make_batch):
    """As an array of jobs does it: each collects what is there, one after the other."""
    batch = make_batch()
    for part in (1, 2):
        run_batch(batch, chosen=take_shard(batch.jobs, (part, 2)))
    with (batch.out / "results.csv").open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["done"] * 3


def test_a_failure_of_other_settings_is_over_when_these_are_done(finished_batch):
    batch = finished_batch
    folder = batch.folder(batch.jobs[0])
    failed = {"stage": "read", "edit": "", "got": "a disk that was away"}
    unscored = {"stage": "scores", "edit": "style", "got": "no weights"}

    def states():
        run_batch(batch)
        with (batch.out / "results.csv").open(newline="") as file:
            return [row["state"] for row in csv.DictReader(file)]

    write_json(folder.status, {**read_json(folder.status), "state": "failed", "failures": [failed, unscored]})
    assert states() == ["done"] * 3
    # Still not there: it failed.
    run_batch(batch, stages=["edits"])
    write_json(folder.scores, {})
    batch.folder(batch.jobs[0]).forget("edit object")
    rows = [row["state"] for row in collect_rows(batch.jobs, batch.recipe, hash_files(batch), batch.out)]
    assert rows == ["failed", "failed", "done"]


def test_exports(make_batch, place):
    (place / "masked.csv").write_text(
        "clip,prompt,edit,type,score_mask,split\ncat.mp4,a cat,a dog,object,mask,DAVIS_480p\n"
    )
    batch = make_batch("masked.csv", modes=Modes(threads=1))
    with pytest.raises(ConfigError, match="without a video"):
        export("loveu", batch.jobs, batch.out, "mp4")
    assert not run_batch(batch).failures
    folder, count = export("loveu", batch.jobs, batch.out, "mp4")
    frames = sorted((folder / "DAVIS_480p" / "cat" / "object").iterdir())
    assert count == 1 and [path.name for path in frames] == ["00000.jpg", "00001.jpg", "00002.jpg"]
    video = read_clip(next(batch.out.rglob("object.mp4")), num_frames=3, width=SIDE, height=SIDE).frames
    first = np.asarray(Image.open(frames[0]), np.float32) / 255
    assert abs(first - video[0].numpy()).mean() < 0.05
    folder, _ = export("vbench", batch.jobs, batch.out, "mp4")
    assert json.loads((folder / "prompts.json").read_text()) == {"cat-object.mp4": "a dog"}
    assert (folder / "cat-object.mp4").is_file()
    folder, _ = export("editboard", batch.jobs, batch.out, "mp4")
    assert Image.open(folder / "cat_object" / "frame_00002.png").size == (512, 512)
    mask = np.asarray(Image.open(folder / "cat_mask" / "frame_00000.png"))
    assert mask[256, 256, 0] == 255 and mask[10, 10, 0] == 0
    # What was written is what is read.
    (job,) = read_manifest(f"editboard:{folder / 'script.csv'}", defaults=SMALL)
    assert (job.prompt, job.edits[0].prompt, job.edits[0].type) == ("a cat", "a dog", "object")
    assert Path(job.edits[0].score_mask).name == "cat_mask"


def test_labels_in_colours_score_and_are_exported(make_batch, place):
    """DAVIS 2017's annotations, which were refused as faint masks once the clip was tuned and edited."""
    labels = Image.new("P", (SIDE, SIDE))
    labels.putpalette([0, 0, 0, 128, 0, 0])
    labels.paste(1, (8, 8, 24, 24))
    labels.save(place / "labels.png")
    (place / "labels.csv").write_text("clip,prompt,edit,type,score_mask\ncat.mp4,a cat,a dog,object,labels.png\n")
    batch = make_batch("labels.csv")
    assert not run_batch(batch).failures
    (row,) = collect_rows(batch.jobs, batch.recipe, hash_files(batch), batch.out)
    assert row["outside_psnr"] > 0
    folder, _ = export("editboard", batch.jobs, batch.out, "png")
    mask = np.asarray(Image.open(folder / "cat_mask" / "frame_00000.png"))
    assert mask[256, 256, 0] == 255 and mask[10, 10, 0] == 0


def test_a_clip_of_two_frames_is_done_without_scores(make_batch, place):
    """It was edited and then failed, as it has no second difference, at each run again."""
    text = "clip,prompt,edit,type,num_frames,mask\ncat.mp4,a cat,a dog,plain,2,\ncat.mp4,a cat,a fox,masked,2,mask\n"
    (place / "short.csv").write_text(text)
    batch = make_batch("short.csv")
    assert not run_batch(batch).failures
    rows = collect_rows(batch.jobs, batch.recipe, hash_files(batch), batch.out)
    assert [row["state"] for row in rows] == ["done", "done"]
    assert rows[1]["outside_psnr"] > 0 and not rows[0].get("outside_psnr")


def test_an_export_is_made_anew(make_batch, place):
    """Videos of other settings and names stayed beside the new ones, and would have been scored with them."""
    batch = make_batch(modes=Modes(threads=1))
    end = run_batch(batch)
    folder, count = export("vbench", batch.jobs, batch.out, "mp4", done=end.videos)
    assert count == len(list(folder.glob("*.mp4"))) == 3
    folder, count = export("vbench", batch.jobs, batch.out, "mp4", done=list(end.videos)[:1])
    assert count == len(list(folder.glob("*.mp4"))) == 1


def test_exports_stay_in_their_folder_and_leave_out_what_is_old(make_batch, place):
    (place / "split.csv").write_text("clip,prompt,edit,type,split\ncat.mp4,a cat,a dog,object,../../gone\n")
    batch = make_batch("split.csv")
    end = run_batch(batch)
    (batch.out.parent / "gone" / "cat" / "object").mkdir(parents=True)
    folder, count = export("loveu", batch.jobs, batch.out, "png", done=end.videos)
    assert count == 1 and len(list((folder / "gone" / "cat" / "object").iterdir())) == 3
    assert not list((batch.out.parent / "gone" / "cat" / "object").iterdir())
    # Only tuned under other settings: the video is not theirs.
    end = run_batch(make_batch("split.csv", sampling=EditConfig(num_steps=3)), stages=["tune"])
    with pytest.raises(ConfigError, match="without a video"):
        export("loveu", batch.jobs, batch.out, "png", done=end.videos)


def test_editboard_has_each_edits_own_mask(make_batch, place):
    write_video(place / "mask2", np.eye(SIDE, dtype=np.float32)[None, ..., None].repeat(3, axis=3), fps=8)
    head = "clip,prompt,edit,type,score_mask\n"
    (place / "masks.csv").write_text(f"{head}cat.mp4,a cat,a dog,object,mask\ncat.mp4,a cat,a fox,other,mask2\n")
    batch = make_batch("masks.csv")
    assert not run_batch(batch, stages=["tune", "invert", "edits"]).failures
    folder, _ = export("editboard", batch.jobs, batch.out, "png")
    with (folder / "script.csv").open(newline="") as file:
        places = [row["semantic_mask_path"] for row in csv.DictReader(file)]
    one, other = (np.asarray(Image.open(folder / place / "frame_00000.png")).mean() for place in places)
    assert abs(one / 255 - 0.25) < 0.01 and other / 255 < 0.1
    # Another clip of this name would have the first one's pictures.
    twin = dataclasses.replace(batch.jobs[0], clip=str(place / "car.mp4"), edits=batch.jobs[0].edits[1:])
    with pytest.raises(ConfigError, match="two edits for cat: "):
        export("editboard", [dataclasses.replace(batch.jobs[0], edits=batch.jobs[0].edits[:1]), twin], batch.out, "png")


def test_two_clips_of_one_name_are_refused_where_there_is_one_place(finished_batch):
    batch = finished_batch
    twice = [dataclasses.replace(job, name="same", edits=job.edits[:1]) for job in batch.jobs]
    twice = [dataclasses.replace(job, edits=(dataclasses.replace(job.edits[0]),)) for job in twice]
    renamed = dataclasses.replace(twice[1].edits[0], type="object")
    source = batch.out / "jobs" / twice[1].folder / "edits"
    (source / "a-red-car").rename(source / "object")
    twice[1] = dataclasses.replace(twice[1], edits=(renamed,))
    with pytest.raises(ConfigError, match="two edits for same-object"):
        export("vbench", twice, batch.out, "png")
