"""The trainers of the second world's model, on few pictures: what a step is trained on, and that a course resumes."""

import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, T2IAdapter
from safetensors.torch import load_file
from transformers import CLIPTextModel

from demo.creatures import settings
from demo.creatures.oracle.network import WORDS
from demo.creatures.oracle.phase import PhaseNet
from demo.creatures.oracle.reading import Oracle
from demo.creatures.trainers import adapter, oracle, phase, stills, text, unet, vae


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Every course shortened, and its files in a folder of the test's own."""
    model = tmp_path / "model"
    for module in (adapter, oracle, phase, stills, text, unet, vae):
        for name, value in {"CACHE": tmp_path, "MODEL": model, "LOG": tmp_path / "log.csv"}.items():
            monkeypatch.setattr(module, name, value, raising=False)
        monkeypatch.setattr(module, "prepare_device", lambda: None, raising=False)
    # Work in this process, where the settings are short.
    for module in (stills, oracle):
        monkeypatch.setattr(module, "ProcessPoolExecutor", lambda: nullcontext(SimpleNamespace(map=map)))
    for module, values in {
        stills: {"NUM_STILLS": 24, "CHUNK": 12, "PICTURES": tmp_path / "s.npy", "CAPTIONS": tmp_path / "captions.txt"},
        vae: {"STATE": tmp_path / "vae.pt", "NUM_CROPS": 1, "NUM_WHOLE": 1, "BATCH": 2, "SAVE_EVERY": 1}
        | {"NUM_START": 4, "NUM_HELD": 2},
        text: {"NUM_STEPS": 2, "BATCH": 4},
        unet: {"STATE": tmp_path / "unet.pt", "BATCHES": ((0, 2), (2, 3)), "SAVE_EVERY": 2, "LOG_EVERY": 1},
        adapter: {"NUM_STEPS": 2, "BATCH": 2, "NUM_STILLS": 20, "LOG_EVERY": 1},
        phase: {"NUM_HELD": 8, "BATCH": 8, "LOG_EVERY": 1},
        oracle: {"NUM_PICTURES": 40, "CHUNK": 20, "NUM_HELD": 8, "BATCH": 8},
    }.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    return model


@pytest.fixture
def latents(small, monkeypatch):
    """Random latents and embeddings in place of encoded stills and captions."""
    generator = torch.Generator().manual_seed(0)
    kept = torch.randn(24, 4, 16, 16, generator=generator)
    table = torch.randn(5, 77, text.WIDTH, generator=generator), torch.randint(1, 5, (24, 4), generator=generator)
    monkeypatch.setattr(unet, "encode_stills", lambda: kept)
    monkeypatch.setattr(unet, "embed_captions", lambda: table)


def test_autoencoder_and_text_model_are_trained_saved_and_read_again(small):
    vae.train_vae()
    assert vae.encode_stills().shape == (24, 4, 16, 16)
    factor = AutoencoderKL.from_pretrained(small / "vae").config.scaling_factor
    assert factor == pytest.approx(1 / vae.encode_stills().std().item(), rel=1e-3)
    assert str(small.parent) not in (small / "vae" / "config.json").read_text()
    text.train_text()
    table, captions = text.embed_captions()
    assert captions.shape == (24, stills.CAPTIONS_PER_STILL) and captions.max() == len(table) - 1
    assert CLIPTextModel.from_pretrained(small / "text_encoder").config.hidden_size == table.shape[2]


def test_a_unet_course_that_was_stopped_gives_the_same_weights(latents, small, monkeypatch):
    course = unet.UNetCourse()
    for _ in range(3):
        course.train_step()
    unet.train_unet(2)
    resumed = unet.UNetCourse()
    assert resumed.step == 2
    resumed.train_step()
    pairs = zip(course.averaged().parameters(), resumed.averaged().parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_first_stills_are_the_same_from_the_cache_or_drawn(small):
    drawn, cached = stills.first_stills(20), (stills.load_stills(), stills.first_stills(20))[1]
    assert np.array_equal(drawn[0], cached[0]) and drawn[1] == cached[1]
    assert len(drawn[0]) == len(drawn[1]) == 20 and drawn[1][13][0] == stills.load_stills()[1][13][0]


def test_an_adapter_is_trained_on_the_edges_of_stills(latents, small, monkeypatch):
    unet.train_unet(0)
    for part in ("vae", "text_encoder", "tokenizer"):
        shutil.copytree(settings.MODEL / part, small / part)
    course = adapter.AdapterCourse()
    assert course.latents.shape == (20, 4, 16, 16) and course.latents.std() == pytest.approx(1, abs=0.15)
    assert torch.equal(course.draw(3)[1], course.draw(3)[1])
    before = [parameter.clone() for parameter in course.led.unet.parameters()]
    course.train_step(0)
    assert all(torch.equal(old, now) for old, now in zip(before, course.led.unet.parameters(), strict=True))
    adapter.train_adapter()
    saved = T2IAdapter.from_pretrained(small / "t2i_adapter")
    hints = adapter.hints_of(stills.first_stills(1)[0])
    assert hints.shape == (1, 1, 128, 128) and 0.005 < hints.mean() < 0.4
    assert [part.shape[1:] for part in saved(hints)] == [(64, 16, 16), (128, 8, 8), (192, 4, 4)]


def test_steps_are_trained_on_growing_batches(latents, monkeypatch):
    assert [unet.batch_at(step) for step in range(4)] == [2, 2, 3, 3]
    assert [unet.samples_before(step) for step in range(5)] == [0, 2, 4, 7, 10]
    seen = []

    def predictor(self, noisy, *_):
        seen.append(len(noisy))
        return noisy * self.unet.conv_out.weight.mean()

    monkeypatch.setattr(unet.UNetCourse, "predictor", predictor)
    course = unet.UNetCourse()
    for _ in range(3):
        course.train_step()
    assert seen == [2, 2, 3]


def test_rate_warms_up_stays_and_cools_down():
    rates = [unet.rate_at(step) for step in range(unet.NUM_STEPS + 1)]
    assert rates[0] == pytest.approx(unet.PEAK_RATE / unet.WARM_UP) and rates[-1] == 0
    assert set(rates[unet.WARM_UP : unet.COOL_DOWN + 1]) == {unet.PEAK_RATE}


def test_timesteps_come_from_equal_parts_of_the_schedule():
    drawn = unet.stratified_timesteps(10, unet.DEVICE)
    assert sorted((drawn // 100).tolist()) == [*range(10)]


def test_an_oracle_is_trained_saved_and_read_again(small, tmp_path):
    oracle.train(1, tmp_path / "oracle.safetensors", 2)
    read = Oracle(tmp_path / "oracle.safetensors")
    assert set(read.temperature) == set(WORDS) and all(0.4 <= value <= 3 for value in read.temperature.values())
    reading = read.read(np.zeros((1, 128, 128, 3), np.float32))[0]
    assert reading.subject in (*WORDS["subject"], "unknown")


def test_the_reader_of_phases_is_trained_saved_and_read_again(small, tmp_path):
    phase.train(tmp_path / "phase.safetensors", 2)
    net = PhaseNet()
    net.load_state_dict({name: part.float() for name, part in load_file(tmp_path / "phase.safetensors").items()})
    crops, truth = phase.make_batch(oracle.load_pictures(1), np.arange(4), np.random.default_rng(0))
    assert crops.shape == (4, 3, 64, 64) and truth.norm(dim=1).tolist() == pytest.approx([1] * 4)
    assert net.eval()(crops).shape == truth.shape
    assert "phase,2,error" in (tmp_path / "log.csv").read_text()


def test_a_mixture_of_two_pictures_is_half_of_each():
    pictures, masks, labels = oracle.render_chunk(0, 4)
    targets = oracle.to_targets(masks, labels)
    blended = torch.from_numpy(pictures).movedim(-1, 1).float() / 255
    before = blended.clone()
    oracle.mix(blended, targets, 1)
    share = (blended[0] - before[-1]).norm() / (before[0] - before[-1]).norm()
    assert 0.35 <= share <= 0.65
    assert targets["subject"][0].sum() == pytest.approx(1) and targets["subject"][0].max() < 0.7
