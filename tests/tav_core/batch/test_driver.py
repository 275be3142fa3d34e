"""A batch from its list to its results: what is redone when settings change, what fails, and what is tried again."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from tav_core.batch import driver, progress, run_job, stages
from tav_core.batch.choose import take_only
from tav_core.batch.driver import run_batch
from tav_core.batch.executors.serial import run_serially
from tav_core.batch.executors.tasks import Slots
from tav_core.batch.job_folder import JobFolder, read_json
from tav_core.batch.keys import tune_key
from tav_core.batch.recipe import Modes
from tav_core.errors import ConfigError, InputError, OutOfMemory, OutputError, TavError, TuningDiverged
from tav_core.sampling.config import EditConfig, InjectionConfig, InvertConfig, LocalEditConfig
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.run_lock import hold
from tests.tav_core.batch.conftest import contents

PNG = Modes(threads=1, format="png")


@pytest.fixture
def done(monkeypatch):
    """The stages that are really done, by clip; empty it between runs."""
    found = []
    real = JobFolder.mark_done

    def mark(self, stage, *args, **about):
        found.append(f"{self.path.name.split('-')[0]} {stage}")
        real(self, stage, *args, **about)

    monkeypatch.setattr(JobFolder, "mark_done", mark)
    return found


def rows_of(out):
    with (out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


ALL = [
    *("cat tune", "cat invert", "cat edit object", "cat scores object", "cat edit style", "cat scores style"),
    *("car tune", "car invert", "car edit a-red-car", "car scores a-red-car"),
]


def test_a_batch_leaves_everything_and_a_second_run_does_nothing(make_batch, done):
    batch = make_batch()
    end = run_batch(batch)
    assert done == ALL and not end.failures and end.done == 2
    before = contents(batch.out)
    # Motion, trajectory and scores of two clips; three pictures of each edit.
    assert len(before) == 2 * 3 + 3 * 3
    rows = rows_of(batch.out)
    assert [(row["name"], row["type"], row["state"], row["seed"]) for row in rows] == [
        ("cat", "object", "done", "33"),
        ("cat", "style", "done", "7"),
        ("car", "a-red-car", "done", "33"),
    ]
    assert all(float(row["second_difference"]) > 0 and row["host"] and row["attempt"] == "1" for row in rows)
    assert (batch.out / "index.html").is_file()
    done.clear()
    assert run_batch(batch).done == 2 and done == []
    assert contents(batch.out) == before
    assert not list(batch.out.rglob("tuning-*")), "states of tunings are removed when their motion is there"


@pytest.mark.parametrize(
    ("settings", "redone"),
    [
        ({"tuning": TuneConfig(num_steps=3, memory="speed", save_every=1)}, ALL),
        ({"tuning": TuneConfig(num_steps=2, memory="balanced", save_every=2)}, []),
        ({"sampling": EditConfig(num_steps=2, guidance_scale=3)},
         [each for each in ALL if " edit " in each or " sc" in each]),
        ({"sampling": EditConfig(num_steps=2, seed=5)}, []),
        ({"sampling": EditConfig(num_steps=2, noise_prior=0.5)},
         [each for each in ALL if " edit " in each or " sc" in each]),
        ({"source_prompt": True}, [each for each in ALL if "tune" not in each]),
        ({"flow": True}, [each for each in ALL if "scores" in each]),
        ({"modes": Modes(threads=1, format="png", group_norm="clip")}, ALL),
        ({"modes": Modes(threads=1, format="png", context_length=2, context_overlap=1)},
         [each for each in ALL if "tune" not in each]),
        # An injection needs the whole inversion.
        ({"injection": InjectionConfig(attention=0.5)}, [each for each in ALL if "tune" not in each]),
    ],
    ids=["steps", "memory", "guidance", "a seed without a draw", "prior", "inversion", "scores", "modes", "windows",
         "injection"],
)  # fmt: skip
def test_changed_settings_redo_what_depends_on_them(finished_batch, make_batch, done, settings, redone):
    assert not run_batch(make_batch(**settings)).failures
    assert done == redone


def test_a_lora_a_start_and_their_strength_redo_all(finished_batch, make_batch, place, done, tmp_path):
    batch = finished_batch
    start = str(shutil.copy(batch.folder(batch.jobs[0]).motion, tmp_path / "start.safetensors"))
    look = {
        "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_v.lora_A.weight": torch.ones(2, 64),
        "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_v.lora_B.weight": torch.ones(64, 2),
    }
    save_file(look, place / "look.safetensors")
    lora = str(place / "look.safetensors")
    for settings in ({"start_from": start}, {"loras": {lora: 1.0}}, {"loras": {lora: 0.5}}):
        before = contents(batch.out)
        done.clear()
        assert not run_batch(make_batch(**settings)).failures
        assert done == ALL and contents(batch.out) != before
        done.clear()
        run_batch(make_batch(**settings))
        assert done == []
    # peft's settings beside its file scale the layers.
    adapter = shutil.copy(lora, tmp_path / "adapter_model.safetensors")
    for alpha in (1, 4):
        (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": alpha}))
        done.clear()
        assert not run_batch(make_batch(loras={str(adapter): 1.0})).failures
        assert done == ALL
    with pytest.raises(InputError, match=r"LoRA .*missing.safetensors, which does not exist"):
        run_batch(make_batch(loras={"missing.safetensors": 1.0}))


def test_what_every_job_would_refuse_is_refused_before_the_first(make_batch, place, done):
    none = str(place / "cat.mp4")
    wrong = str(place / "wrong.safetensors")
    save_file({"weight": torch.zeros(2)}, wrong)
    for settings in (
        {"start_from": wrong},
        {"start_from": none},
        {"loras": {wrong: 1.0}},
        {"loras": {none: 1.0}},
        {"tuning": TuneConfig(num_steps=0)},
    ):
        with pytest.raises(TavError):
            run_batch(make_batch(**settings))
    assert done == []


def test_a_seed_counts_where_the_start_is_mixed_with_noise(finished_batch, make_batch, done):
    run_batch(make_batch(sampling=EditConfig(num_steps=2, noise_prior=0.5)))
    done.clear()
    run_batch(make_batch(sampling=EditConfig(num_steps=2, noise_prior=0.5, seed=5)))
    own_seed = ("edit style", "scores style")
    assert done == [each for each in ALL if (" edit " in each or " sc" in each) and not each.endswith(own_seed)]


def test_some_edits_alone_leave_the_inversion_for_the_others(make_batch, place, done, tmp_path):
    (place / "some.csv").write_text(
        "clip,prompt,edit,type,mask\ncar.mp4,a car,a red car,object,mask\ncar.mp4,a car,a sketch,style,\n"
    )
    batch = make_batch("some.csv")
    run_batch(batch)
    done.clear()
    run_batch(batch, chosen=take_only(batch.jobs, "*/style"))
    assert done == [] and [row["state"] for row in rows_of(tmp_path / "out")] == ["done", "done"]


def test_a_changed_prompt_or_mask_redoes_its_part(finished_batch, make_batch, place, done, tmp_path):
    listed = (place / "list.csv").read_text()
    (place / "own.csv").write_text(listed.replace("a dog runs,object", "a fox runs,object"))
    run_batch(make_batch("own.csv"))
    assert done == ["cat edit object", "cat scores object"]
    # A mask needs the whole inversion.
    (place / "own.csv").write_text("clip,prompt,edit,mask\ncar.mp4,a car,a red car,mask\n")
    done.clear()
    run_batch(make_batch("own.csv", local=LocalEditConfig(feather=0)))
    assert done == [each for each in ALL if each.startswith("car") and "tune" not in each]
    (row,) = rows_of(tmp_path / "out")
    assert row["outside_psnr"] == "inf", "outside the mask the clip is as it was"


def test_resampling_redoes_the_edits_that_have_one(make_batch, place, done):
    (place / "some.csv").write_text(
        "clip,prompt,edit,type,mask\ncar.mp4,a car,a red car,object,mask\ncar.mp4,a car,a sketch,style,\n"
    )
    run_batch(make_batch("some.csv"))
    done.clear()
    sampling = EditConfig(num_steps=2, resample=2)
    assert not run_batch(make_batch("some.csv", sampling=sampling)).failures
    assert done == ["car edit object", "car scores object"]


def test_stages_alone(make_batch, done):
    assert not run_batch(make_batch(), stages=["tune"]).failures
    assert done == ["cat tune", "car tune"]
    end = run_batch(make_batch(), stages=["scores"])
    assert {failure.got.split(" of ")[0] for failure in end.failures} == {
        "no edit object",
        "no edit style",
        "no edit a-red-car",
    }
    with pytest.raises(ConfigError, match="stages tuna"):
        run_batch(make_batch(), stages=["tuna"])


def broken(monkeypatch, name, error, *, times=99, where=lambda self, *args: True):
    """Makes a stage fail so many times; returns how often it was tried."""
    real, tried = getattr(stages.Stages, name), []

    def work(self, *args):
        if where(self, *args):
            tried.append(self.recipe.low_memory)
            if len(tried) <= times:
                raise error
        return real(self, *args)

    monkeypatch.setattr(stages.Stages, name, work)
    return tried


def error(kind):
    return kind(got="this", expected="that", mend="Do so.")


@pytest.mark.parametrize("kind", [InputError, ConfigError, TuningDiverged])
def test_refusals_and_runs_that_diverged_are_not_tried_again(finished_batch, make_batch, monkeypatch, kind):
    for job in finished_batch.jobs:
        for edit in job.edits:
            finished_batch.folder(job).forget(f"edit {edit.type}")
    tried = broken(monkeypatch, "_edit", error(kind), where=lambda self, edit, path: edit.type == "object")
    end = run_batch(make_batch(), slots=Slots(retries=3))
    assert len(tried) == 1
    (failure,) = end.failures
    assert (failure.job, failure.stage, failure.edit, failure.got) == ("cat", "edit", "object", "this")
    # The sibling and the other clip are there.
    states = {(row["name"], row["type"]): row["state"] for row in rows_of(make_batch().out)}
    assert states == {("cat", "object"): "failed", ("cat", "style"): "done", ("car", "a-red-car"): "done"}
    assert "this" in driver.JobFolder(make_batch().out / "jobs" / make_batch().jobs[0].folder).log.read_text()


def test_memory_that_runs_out_is_tried_once_with_less(make_batch, monkeypatch):
    tried = broken(monkeypatch, "_tune", error(OutOfMemory), times=1)
    assert not run_batch(make_batch(), slots=Slots(retries=0), stages=["tune"]).failures
    # The other clip is tuned as it should be.
    assert tried == [False, False, True]
    monkeypatch.undo()
    tried = broken(monkeypatch, "_tune", MemoryError(), where=lambda self: self.job.name == "car")
    end = run_batch(make_batch(out="other"), slots=Slots(retries=3), stages=["tune"])
    assert tried == [False, True] and [failure.kind for failure in end.failures] == ["memory"]


def test_crashes_are_tried_again_up_to_the_retries(make_batch, monkeypatch):
    car = lambda self: self.job.name == "car"  # noqa: E731
    tried = broken(monkeypatch, "_invert", RuntimeError("CUDA error"), times=2, where=car)
    stages_before = ["tune", "invert"]
    assert not run_batch(make_batch(), slots=Slots(retries=2), stages=stages_before).failures
    assert len(tried) == 3 and rows_of(make_batch().out)[2]["attempt"] == "3"
    monkeypatch.undo()
    tried = broken(monkeypatch, "_invert", RuntimeError("CUDA error"), where=car)
    end = run_batch(make_batch(out="other"), slots=Slots(retries=1), stages=stages_before)
    assert len(tried) == 2 and "RuntimeError: CUDA error" in end.failures[0].got


def test_ctrl_c_ends_the_run_and_it_goes_on_later(make_batch, monkeypatch):
    broken(monkeypatch, "_invert", KeyboardInterrupt(), times=1)
    batch = make_batch()
    with pytest.raises(KeyboardInterrupt):
        run_batch(batch, chosen=batch.jobs[:1])
    status = next(batch.out.rglob("status.json"))
    assert json.loads(status.read_text())["state"] == "stopped"
    assert not run_batch(batch, chosen=batch.jobs[:1]).failures


def test_a_job_that_another_process_has_is_waited_for_and_not_counted(make_batch, monkeypatch):
    batch = make_batch()
    folder = batch.folder(batch.jobs[0])
    folder.path.mkdir(parents=True)
    monkeypatch.setattr(run_job, "PATIENCE", 0.0)
    # Nobody tells of the job: it is given up.
    with hold(folder.lock):
        end = run_batch(batch, slots=Slots(retries=0), stages=["tune"])
    assert [(failure.job, failure.kind) for failure in end.failures] == [("cat", "held")]
    # Somebody does, and then ends.
    other = hold(folder.lock)
    other.__enter__()
    driver.write_json(folder.status, {"state": "running", "updated": driver_time()})
    seen = []

    def release(task, outcome):
        seen.append(outcome["state"])
        if len(seen) == 3:
            other.__exit__(None, None, None)

    monkeypatch.setitem(driver.EXECUTORS, "serial", told(run_serially, release))
    assert not run_batch(batch, slots=Slots(retries=0), stages=["tune"]).failures
    assert seen == ["held"] * 3 + ["done"] and rows_of(batch.out)[0]["attempt"] == "1"


def driver_time():
    import time

    return time.time()


def told(execute, on_outcome):
    def run(queue, run, slots):
        for task, outcome in execute(queue, run, slots):
            on_outcome(task, outcome)
            yield task, outcome

    return run


def test_a_status_that_is_read_at_that_moment_ends_no_job(make_batch, monkeypatch):
    """Windows then refuses to replace it."""
    real, refused = progress.write_json, []

    def write(path, values):
        is_last = values["state"] != "running"
        # Whatever is told of a stage, and the end once.
        if "stage" in values and not (is_last and True in refused):
            refused.append(is_last)
            raise OutputError(got="Access is denied", expected="a file to write", mend="Wait.")
        real(path, values)

    monkeypatch.setattr(progress, "write_json", write)
    batch = make_batch()
    assert not run_batch(batch, chosen=batch.jobs[:1]).failures and set(refused) == {False, True}
    assert read_json(batch.folder(batch.jobs[0]).status)["state"] == "done"


def test_nodes_are_asked_for_all_files_of_the_jobs(make_batch, place, monkeypatch):
    (place / "both.csv").write_text("clip,prompt,edit,mask,score_mask\ncar.mp4,a car,a red car,mask,cat.mp4\n")
    asked = []
    monkeypatch.setitem(driver.EXECUTORS, "serial", lambda queue, run, slots: asked.append(slots.checks) or iter_none())
    run_batch(make_batch("both.csv"))
    assert {path.rpartition("/")[2] for path in asked[0]["files"]} == {"model", "car.mp4", "mask", "cat.mp4"}


def iter_none():
    yield from ()


def test_what_does_not_go_together_is_refused_before_the_first_job(make_batch):
    with pytest.raises(ConfigError, match="2 GPUs per job"):
        run_batch(make_batch(), slots=Slots(gpus=2))
    with pytest.raises(ConfigError, match="device cuda for jobs without a GPU"):
        run_batch(make_batch(device="cuda"), executor="processes", slots=Slots(gpus=0))
    with pytest.raises(ConfigError, match=r"noise_prior 0.5 for an inversion by o_belm"):
        run_batch(make_batch(inversion=InvertConfig(method="o_belm"), sampling=EditConfig(noise_prior=0.5)))
    with pytest.raises(InputError, match="clip_model"):
        run_batch(make_batch(clip_model="/nowhere"))
    with pytest.raises(ConfigError, match="resample 2 without a mask"):
        run_batch(make_batch(sampling=EditConfig(num_steps=2, resample=2)))
    for cut in ({"merge_tokens": 0.5}, {"deep_every": 2}):
        with pytest.raises(ConfigError, match=rf"{next(iter(cut))} \S+ with an injection"):
            run_batch(make_batch(sampling=EditConfig(num_steps=2, **cut), injection=InjectionConfig()))
    windows = Modes(context_length=4, context_overlap=1)
    with pytest.raises(ConfigError, match="deep_every 2 with context windows"):
        run_batch(make_batch(sampling=EditConfig(num_steps=2, deep_every=2), modes=windows))
    with pytest.raises(ConfigError, match="overlap"):
        Modes(context_length=4, context_overlap=4) and dataclasses.replace(
            make_batch().recipe, modes=Modes(context_length=4, context_overlap=4)
        )


def test_a_recipe_comes_back_from_json(make_batch):
    more = {"loras": {"b.safetensors": 0.5, "a.safetensors": 1.0}, "injection": InjectionConfig(attention=0.5)}
    recipe = make_batch(clip_model="a", start_from="c", sampling=EditConfig(num_steps=7, eta=0.5), **more).recipe
    again = type(recipe).from_json(json.loads(json.dumps(recipe.as_json())))
    assert again == recipe and list(again.loras) == list(recipe.loras)
    recipe = dataclasses.replace(recipe, injection=None)
    assert type(recipe).from_json(json.loads(json.dumps(recipe.as_json()))) == recipe


def test_a_yaml_beside_the_model_belongs_to_what_results_depend_on(make_batch, tmp_path):
    """It says what the model predicts, so that results of before are of another model."""
    batch, model = make_batch(), tmp_path / "own.safetensors"
    save_file({"a": torch.zeros(1)}, model)
    batch = dataclasses.replace(batch, recipe=dataclasses.replace(batch.recipe, model=str(model)))
    batch.out.mkdir(parents=True, exist_ok=True)
    keys = [tune_key(batch.jobs[0], batch.recipe, driver.hash_files(batch), "clip")]
    for parameterization in ("v", "eps"):
        model.with_suffix(".yaml").write_text(f"model: {{params: {{parameterization: {parameterization}}}}}")
        keys.append(tune_key(batch.jobs[0], batch.recipe, driver.hash_files(batch), "clip"))
    assert len(set(keys)) == 3
