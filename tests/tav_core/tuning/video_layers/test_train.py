"""tav_core/tuning/video_layers: the joint loss, what is trained, and what a run promises: one seed, one result."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch

from tav_core.cancelling import cancelled_by
from tav_core.errors import ConfigError, FewerSteps, TuningDiverged
from tav_core.models.conditioning import Conditioning
from tav_core.models.parameter_names import is_temporal
from tav_core.models.shared_weights import copy_structure
from tav_core.tensor_files import load_tensors, save_tensors
from tav_core.tuning.video_layers.config import VideoLayersConfig
from tav_core.tuning.video_layers.processes import Processes, join_processes
from tav_core.tuning.video_layers.run import VideoLayersRun
from tav_core.tuning.video_layers.train import train_video_layers
from tests.project_files import ROOT
from tests.tav_core.lavie_models import small_lavie
from tests.tav_core.tuning.video_layers.captioned import FRAMES, QUICK, make_examples


@pytest.fixture(scope="module")
def base():
    return small_lavie("base")


@pytest.fixture(scope="module")
def data():
    return make_examples()


def config_of(**changes):
    return VideoLayersConfig(**{**QUICK, **changes})


def start(base, data, **changes):
    return VideoLayersRun(base, data, config=config_of(**changes), processes=Processes())


def train(base, data, path=None, on_step=None, **changes):
    return train_video_layers(base, None, data, config=config_of(**changes), state_path=path, on_step=on_step)


def values(unet):
    return {name: tensor.clone() for name, tensor in unet.state_dict().items()}


def differing(one, other):
    return {name for name, tensor in one.items() if not torch.equal(tensor, other[name])}


def gradients(base, data, **changes):
    """The gradients of one row, by name."""
    run = start(base, data, **changes)
    run.loss(run.draw(0)).backward()
    return {name: parameter.grad.clone() for name, parameter in run.trainable.items()}


class TestLoss:
    def test_it_is_the_joint_formula(self, base, data):
        """Written out: noise of truly linear betas on frames and pictures alike, and both errors in epsilon."""
        run = start(base, data, image_weight=0.3)
        latents, noise, timestep, context = row = run.draw(1)
        alpha = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)[timestep]
        noisy = (alpha.sqrt() * latents + (1 - alpha).sqrt() * noise).float()
        told = Conditioning(text=context.text, image_text=context.image_text)
        with torch.no_grad():
            error = (base(noisy, torch.tensor([timestep]), told) - noise).square()
        expected = error[:, :, :FRAMES].mean() + 0.3 * error[:, :, FRAMES:].mean()
        assert run.loss(row).item() == pytest.approx(expected.item(), rel=1e-5)

    def test_a_step_averages_its_rows(self, base, data):
        run = start(base, data, clips_per_step=3)
        rows = [run.loss(run.draw(row)).item() for row in range(3)]
        assert run.advance() == pytest.approx(sum(rows) / 3, rel=1e-5)

    def test_a_row_has_its_captions_in_order(self, base, data):
        run = start(base, data, text_dropout=0.0)
        by_text = {one.text: one for one in (*data.clips, *data.pictures)}
        for row in range(2):
            _, _, _, context = run.draw(row)
            texts = [context.text, *context.image_text.unbind(1)]
            names = [next(one.name for text, one in by_text.items() if torch.equal(text, told)) for told in texts]
            assert [name.split()[0] for name in names] == ["clip", "picture", "picture"]

    def test_the_latents_of_a_row_are_its_examples(self, base, data):
        still = make_examples()
        for one in (*still.clips, *still.pictures):
            one.latents.std.zero_()
        run = start(base, still, text_dropout=0.0)
        latents, _, _, context = run.draw(0)
        (clip,) = (one for one in still.clips if torch.equal(one.text, context.text))
        assert torch.equal(latents[:, :, :FRAMES], clip.latents.mean)
        for place, text in enumerate(context.image_text.unbind(1)):
            (picture,) = (one for one in still.pictures if torch.equal(one.text, text))
            assert torch.equal(latents[:, :, FRAMES + place : FRAMES + place + 1], picture.latents.mean)

    @pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.1, 0.04, 0.18), (1.0, 1, 1)])
    def test_captions_are_dropped_now_and_then(self, base, data, share, low, high):
        run, dropped = start(base, data, text_dropout=share), []
        for run.step in range(50):
            context = run.draw(0).context
            dropped += [torch.equal(one, data.no_text) for one in (context.text, *context.image_text.unbind(1))]
        assert low <= sum(dropped) / len(dropped) <= high

    def test_all_examples_come_once_before_any_comes_again(self, base, data):
        run, seen = start(base, data, text_dropout=0.0, clips_per_step=1), []
        for run.step in range(6):
            text = run.draw(0).context.text
            seen += [one.name for one in data.clips if torch.equal(one.text, text)]
        names = {one.name for one in data.clips}
        assert set(seen[:3]) == set(seen[3:]) == names

    def test_video_alone(self, base, data):
        run = start(base, data, images_per_clip=0)
        assert run.draw(0).context.image_text is None
        assert run.draw(0).latents.shape[2] == FRAMES
        assert run.advance() > 0


class TestGradients:
    def test_pictures_alone_do_not_touch_temporal_layers(self, base, data):
        """Twice the pictures' weight changes no gradient over time, where group norms do not mix them with a clip."""
        apart = copy_structure(base)
        apart.set_modes(**{**base.modes, "group_norm": "frame"})
        one, two = (gradients(apart, data, train="all", image_weight=weight) for weight in (1.0, 2.0))
        changed = differing(one, two)
        assert not [name for name in changed if is_temporal(name)]
        assert {name for name in one if not is_temporal(name)} <= changed | {"conv_norm_out.weight"}

    def test_lavies_group_norms_see_both(self, base, data):
        one, two = (gradients(base, data, image_weight=weight) for weight in (1.0, 2.0))
        assert differing(one, two)

    @pytest.mark.parametrize("train", ["temporal", "all"])
    def test_every_trained_tensor_gets_one(self, base, data, train):
        found = gradients(base, data, train=train)
        names = {name for name, _ in base.named_parameters() if train == "all" or is_temporal(name)}
        assert found.keys() == names
        assert [name for name, gradient in found.items() if not gradient.any()] == []

    @pytest.mark.parametrize("memory", ["balanced", "low"])
    def test_less_memory_gives_the_same(self, base, data, memory):
        plain = gradients(base, data, train="all")
        for name, gradient in gradients(base, data, train="all", memory=memory).items():
            torch.testing.assert_close(gradient, plain[name], rtol=1e-3, atol=1e-6)

    def test_shares_add_up_to_one_step(self, base, data):
        """What several processes do: each its rows, then the sum."""
        whole = start(base, data, clips_per_step=3, max_grad_norm=1e6)
        loss, parts = whole.advance(), []
        for index in range(2):
            share = Processes()
            share.index, share.count = index, 2
            run = VideoLayersRun(base, data, config=whole.config, processes=share)
            losses = run.advance()
            parts.append((losses, [parameter.grad for parameter in run.trainable.values()]))
        assert sum(each for each, _ in parts) == pytest.approx(loss, rel=1e-5)
        for parameter, one, other in zip(whole.trainable.values(), *(grads for _, grads in parts), strict=True):
            torch.testing.assert_close(one + other, parameter.grad, rtol=1e-4, atol=1e-7)


class TestTraining:
    @pytest.mark.parametrize("train_what", ["temporal", "all"])
    def test_the_given_model_stays_and_its_copy_changes(self, base, data, train_what):
        before = values(base)
        trained = train(base, data, train=train_what)
        assert differing(before, values(base)) == set()
        changed = differing(before, values(trained))
        assert changed == {name for name in before if train_what == "all" or is_temporal(name)}
        assert not any(parameter.requires_grad for parameter in trained.parameters()) and not trained.training

    def test_the_loss_falls_on_one_clip(self, base):
        one = make_examples(clips=1, pictures=1)
        changes = {"images_per_clip": 1, "num_steps": 40, "learning_rate": 5e-3, "train": "all", "text_dropout": 0.0}

        def score(unet):
            run = start(unet, one, **changes, seed=1)
            with torch.no_grad():
                return sum(run.loss(run.draw(row)).item() for row in range(8)) / 8

        assert score(train(base, one, **changes)) < 0.8 * score(base)

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_half_precision_trains_masters_in_float32(self, base, data, precision):
        trained = train(base, data, precision=precision, num_steps=2, train="all", memory="low")
        assert {parameter.dtype for parameter in trained.parameters()} == {torch.float32}
        assert all(tensor.isfinite().all() for tensor in trained.state_dict().values())
        assert differing(values(base), values(trained))

    def test_steps_are_told(self, base, data):
        told = []
        train(base, data, on_step=told.append)
        assert [(each.step, each.num_steps) for each in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
        assert told[-1].eta_seconds == 0 and all(each.loss > 0 for each in told)


class Stop(BaseException):
    """The user cancels."""


@pytest.fixture(scope="module")
def unbroken(base, data):
    """What a run of all steps at once gives."""
    return values(train(base, data))


@pytest.mark.parametrize("default", [torch.bfloat16, torch.float64, "meta"], ids=str)
def test_no_default_of_pytorch_changes_anything(base, data, unbroken, default):
    try:
        torch.set_default_device(default) if isinstance(default, str) else torch.set_default_dtype(default)
        found = values(train(base, data))
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert differing(unbroken, found) == set()


class TestResuming:
    def test_fewer_steps_first(self, base, data, unbroken, tmp_path):
        path = tmp_path / "state.safetensors"
        train(base, data, path, num_steps=2)
        assert differing(unbroken, values(train(base, data, path))) == set()
        assert differing(unbroken, values(train(base, data, path))) == set(), "a run that is done returns its model"

    def test_cancelled_between_steps(self, base, data, unbroken, tmp_path):
        def stop(progress):
            if progress.step == 3:
                raise Stop

        with pytest.raises(Stop):
            train(base, data, tmp_path / "state", stop)
        assert differing(unbroken, values(train(base, data, tmp_path / "state"))) == set()

    def test_cancelled_within_a_step(self, base, data, unbroken, tmp_path):
        told = []

        def check():
            if len(told) == 2:
                raise Stop

        with pytest.raises(Stop), cancelled_by(check):
            train(base, data, tmp_path / "state", told.append)
        later = []
        assert differing(unbroken, values(train(base, data, tmp_path / "state", later.append))) == set()
        assert [each.step for each in later] == [3, 4]

    def test_it_is_saved_on_the_way(self, base, data, tmp_path):
        path = tmp_path / "state.safetensors"
        there = []
        train(base, data, path, lambda progress: there.append(path.exists()), save_every=2)
        assert there == [False, False, True, True]

    def test_a_divergence_keeps_the_last_good_step(self, base, data, unbroken, tmp_path):
        path = tmp_path / "state.safetensors"
        train(base, data, path, num_steps=2)
        broken = make_examples()
        for one in broken.clips:
            one.latents.mean.fill_(torch.nan)
        with pytest.raises(TuningDiverged, match=r"a loss of nan at step 3.*the state after step 2 is kept"):
            train(base, broken, path)
        assert differing(unbroken, values(train(base, data, path))) == set()

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"train": "all"}, "its train is not the one asked for (temporal, and asked for is all)"),
            ({"seed": 1}, "its seed"),
            ({"image_weight": 0.5}, "its image_weight"),
            ({"stride": 8}, "its stride is not the one asked for"),
        ],
    )
    def test_another_training_is_refused(self, base, data, tmp_path, changes, told):
        path = tmp_path / "state.safetensors"
        train(base, data, path, num_steps=1)
        with pytest.raises(ConfigError) as refused:
            train(base, data, path, **changes)
        assert told in str(refused.value)

    def test_a_state_of_an_earlier_version_names_no_stride(self, base, data, tmp_path):
        path = tmp_path / "state.safetensors"
        train(base, data, path, num_steps=1)
        tensors, metadata = load_tensors(path, error=ConfigError, what="a state")
        known = json.loads(metadata["identity"])
        assert known.pop("stride")
        save_tensors(path, tensors, {**metadata, "identity": json.dumps(known)})
        steps = []
        train(base, data, path, num_steps=2, on_step=lambda progress: steps.append(progress.step))
        assert steps == [2]

    def test_other_examples_models_and_fewer_steps_are_refused(self, base, data, tmp_path):
        path = tmp_path / "state.safetensors"
        train(base, data, path, num_steps=2)
        with pytest.raises(ConfigError, match="its data is not"):
            train(base, make_examples(clips=2), path)
        with pytest.raises(ConfigError, match="its model is not"):
            train(small_lavie("base", seed=1), data, path)
        with pytest.raises(FewerSteps, match="has done 2"):
            train(base, data, path, num_steps=1)
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(ConfigError, match="incomplete"):
            train(base, data, path)


class TestRefusals:
    def test_another_of_the_three(self, data):
        with pytest.raises(ConfigError, match=r"8 input channels.*LaVie's base"):
            train(small_lavie("interpolation"), data)

    def test_pictures_where_frames_see_each_other(self, base, data):
        other = copy_structure(base)
        other.set_modes(**{**base.modes, "attention": "sparse_causal"})
        with pytest.raises(ConfigError, match=r"attention 'sparse_causal'.*inflate_base"):
            train(other, data)
        train(other, data, images_per_clip=0, num_steps=1)

    @pytest.mark.parametrize("kind", ["clips", "pictures"])
    def test_examples_of_two_sizes(self, base, kind):
        mixed = make_examples()
        one = getattr(mixed, kind)[0].latents
        object.__setattr__(one, "mean", one.mean[..., :4])
        with pytest.raises(ConfigError, match="different sizes"):
            train(base, mixed)

    @pytest.mark.parametrize("shape", [(1, 7, 64), (1, 5, 32)])
    def test_texts_of_another_length_or_width(self, base, shape):
        mixed = make_examples()
        object.__setattr__(mixed.pictures[0], "text", torch.zeros(shape))
        with pytest.raises(ConfigError, match=r"text embeddings of shapes .*1 m 64"):
            train(base, mixed)

    def test_a_text_encoder_of_another_family(self, base):
        wide = small_lavie("base", text_width=32)
        with pytest.raises(ConfigError, match="1 m 32"):
            train(wide, make_examples())

    def test_no_examples(self, base):
        with pytest.raises(ConfigError, match="no clip"):
            train(base, make_examples(clips=0))
        with pytest.raises(ConfigError, match="no picture"):
            train(base, make_examples(pictures=0))

    def test_a_folder_without_a_checkpoint(self, base, tmp_path):
        with pytest.raises(ConfigError, match="load_checkpoint"):
            train(base, tmp_path)

    @pytest.mark.parametrize(
        "wrong", [{"train": "some"}, {"width": 20}, {"text_dropout": 1.5}, {"clips_per_step": 0}, {"num_frames": 0}]
    )
    def test_settings(self, wrong):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            config_of(**wrong)

    def test_more_processes_than_clips(self, base, data):
        share = Processes()
        share.count = 3
        with pytest.raises(ConfigError, match="clips_per_step 2 on 3 processes"):
            VideoLayersRun(base, data, config=config_of(), processes=share)

    def test_several_processes_without_accelerate(self, monkeypatch):
        assert join_processes().count == 1
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setitem(sys.modules, "accelerate", None)
        with pytest.raises(ConfigError, match="2 processes, without the package accelerate"):
            join_processes()


# A file of its own, because a process that has computed must not be forked.
TWO_PROCESSES = """
import sys
import torch
from accelerate import debug_launcher
from tav_core.tensor_files import save_tensors
from tests.tav_core.lavie_models import small_lavie
from tests.tav_core.tuning.video_layers.captioned import make_examples
from tests.tav_core.tuning.video_layers.test_train import train


def work(folder):
    torch.set_num_threads(1)
    index, ended, steps = torch.distributed.get_rank(), None, []

    def stop_one(progress):
        if index == 1 and progress.step == 2:
            raise ValueError

    try:
        train(small_lavie("base"), make_examples(), f"{folder}/state", stop_one)
    except (ValueError, KeyboardInterrupt) as error:
        ended = type(error).__name__
    unet = train(small_lavie("base"), make_examples(), f"{folder}/state", steps.append)
    told = {"losses": str([each.loss for each in steps]), "first": str(steps[0].step), "ended": ended}
    save_tensors(f"{folder}/{index}", unet.state_dict(), told)


if __name__ == "__main__":
    debug_launcher(work, (sys.argv[1],), num_processes=2)
"""


@pytest.mark.skipif(not importlib.util.find_spec("accelerate"), reason="accelerate is not installed: one process only")
def test_two_processes_train_as_one(unbroken, base, tmp_path):
    """On accelerate's CPU launcher: both end with the same weights, which are one process's up to rounding.

    After two steps one is told to stop, which ends both; then they go on from the state.
    """
    script = tmp_path / "two_processes.py"
    script.write_text(TWO_PROCESSES)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([f"{ROOT}", os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, f"{script}", f"{tmp_path}"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    (one, told), (other, same) = (load_tensors(tmp_path / name, error=ConfigError, what="weights") for name in "01")
    assert differing(one, other) == set() and told["losses"] == same["losses"]
    assert (told["ended"], same["ended"]) == ("KeyboardInterrupt", "ValueError")
    assert told["first"] == same["first"] == "3"
    assert differing(values(base), one)
    for name, tensor in unbroken.items():
        torch.testing.assert_close(one[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    state, _ = load_tensors(tmp_path / "state", error=ConfigError, what="a state")
    assert len(state["losses"]) == 4
