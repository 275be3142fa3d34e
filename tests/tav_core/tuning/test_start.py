"""A tuning that starts from LaVie's interpolation: what it starts with, and that a run remembers it."""

from __future__ import annotations

import copy

import pytest
import torch

from tav_core import start_from
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.errors import CheckpointError, ConfigError, MotionError
from tav_core.models.unet import InflatedUNet
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.motion import Motion
from tav_core.tuning.start import hash_motion, hash_start
from tav_core.tuning.tune import tune
from tests.tav_core.lavie_models import golden_weights, save_small_lavie, small_lavie
from tests.tav_core.motions import equal


@pytest.fixture
def file(tmp_path):
    return save_small_lavie("interpolation", tmp_path)


@pytest.fixture
def unet():
    """A UNet of the same widths, as tuning finds it."""
    from diffusers import UNet2DConditionModel

    config = {name: v for name, v in small_lavie("interpolation").config.items() if not name.startswith("_")}
    config = {name: v for name, v in config.items() if name != "inflation"} | {"in_channels": 4}
    return InflatedUNet.from_2d(UNet2DConditionModel.from_config(config)).eval()


@pytest.fixture
def told():
    return torch.randn((1, 7, 64), generator=torch.Generator().manual_seed(2))


def test_the_temporal_layers_are_lavies(unet, file):
    spatial = {name: t.clone() for name, t in unet.state_dict().items() if "_temp." not in name}
    start_from(unet, file)
    expected = small_lavie("interpolation").temporal_state()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in unet.temporal_state().items())
    assert all(torch.equal(tensor, unet.state_dict()[name]) for name, tensor in spatial.items())


def test_a_start_from_zero_has_no_hash_and_another_has_its_own(unet, file):
    assert hash_start(unet) is None
    start_from(unet, file)
    first = hash_start(unet)
    assert first is not None and first == hash_start(copy.deepcopy(unet))
    with torch.no_grad():
        next(iter(unet.temporal_state().values())).add_(1)
    assert hash_start(unet) != first


def test_a_run_goes_on_only_from_where_it_began(unet, file, told, schedule, clip_latents, tmp_path):
    plain, started = copy.deepcopy(unet), copy.deepcopy(unet)
    start_from(started, file)

    def run(unet, steps, state):
        config = TuneConfig(num_steps=steps, learning_rate=1e-3, memory="speed")
        return tune(UNetDenoiser(unet=unet, schedule=schedule), clip_latents, told, config=config, state_path=state)

    whole = run(started, 2, tmp_path / "whole.safetensors")
    run(started, 1, tmp_path / "half.safetensors")
    assert equal(run(started, 2, tmp_path / "half.safetensors"), whole)
    with pytest.raises(ConfigError, match="its start is not the one asked for"):
        run(plain, 2, tmp_path / "half.safetensors")
    assert not equal(run(plain, 2, tmp_path / "plain.safetensors"), whole)


def test_another_size_is_refused(sd1, file):
    inflated = InflatedUNet.from_2d(sd1.unet)
    with pytest.raises(MotionError, match="temporal weights"):
        start_from(inflated, file)


def test_another_model_is_refused(unet, tmp_path):
    torch.save(golden_weights("base"), tmp_path / "lavie_base.pt")
    with pytest.raises(CheckpointError, match=r"lavie_interpolation\.pt"):
        start_from(unet, tmp_path / "lavie_base.pt")


def test_lavies_base_is_not_tuned_to_a_motion(told, schedule, clip_latents):
    """A motion does not record where the temporal attention stands."""
    denoiser = UNetDenoiser(unet=small_lavie("base"), schedule=schedule)
    with pytest.raises(ConfigError, match="before_feed_forward"):
        tune(denoiser, clip_latents, told, config=TuneConfig(num_steps=1))


class TestAnotherMotion:
    """A tuning that starts from a motion."""

    @pytest.fixture
    def tuned(self, unet, schedule):
        """Tunes; the learning rate moves every weight by a step that can be seen."""

        def run(clip, told, steps, *, start=None, state=None, **changes):
            modes = {name: changes.pop(name) for name in ("positions",) if name in changes}
            model = InflatedUNet.from_2d(plain_2d(unet), **modes)
            config = TuneConfig(**{"num_steps": steps, "learning_rate": 1e-3, "memory": "speed", **changes})
            denoiser = UNetDenoiser(unet=model, schedule=schedule)
            return tune(denoiser, clip, told, config=config, state_path=state, start=start)

        return run

    @pytest.mark.parametrize("rank", [0, 4])
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_zero_steps_give_the_file_back_bit_for_bit(self, tuned, told, clip_latents, tmp_path, rank, precision):
        first = tuned(clip_latents, told, 2, query_rank=rank)
        file = first.save(tmp_path / "first.safetensors")
        again = tuned(clip_latents, told, 0, start=Motion.load(file), precision=precision, learning_rate=1e-4)
        assert again.save(tmp_path / "again.safetensors").read_bytes() == file.read_bytes()

    def test_it_goes_on_from_there_also_on_a_clip_of_another_length(self, tuned, told, clip_latents):
        first = tuned(clip_latents, told, 2)
        shorter = clip_latents[:, :, :3]
        on = tuned(shorter, told, 1, start=first)
        assert on.info.num_frames == 3 and on.info.steps_done == 1 and on.info.config["start"] == hash_motion(first)
        for name, tensor in on.temporal.items():
            # AdamW's first step moves a weight by the learning rate at most, and decay by a hundredth of that.
            assert (tensor - first.temporal[name]).abs().max() < 1.1e-3
        assert not equal(on, first) and not equal(on, tuned(shorter, told, 1))

    def test_a_run_goes_on_only_from_its_own_start(self, tuned, told, clip_latents, tmp_path):
        first, second = tuned(clip_latents, told, 1), tuned(clip_latents, told, 2)
        whole = tuned(clip_latents, told, 2, start=first, state=tmp_path / "whole.safetensors")
        tuned(clip_latents, told, 1, start=first, state=tmp_path / "half.safetensors")
        assert equal(tuned(clip_latents, told, 2, start=first, state=tmp_path / "half.safetensors"), whole)
        for other in (second, None):
            with pytest.raises(ConfigError, match="its start is not the one asked for"):
                tuned(clip_latents, told, 2, start=other, state=tmp_path / "half.safetensors")

    def test_factors_become_whole_differences_where_these_train(self, tuned, told, clip_latents):
        first = tuned(clip_latents, told, 2, query_rank=4)
        whole = tuned(clip_latents, told, 0, start=first, query_rank=0)
        assert all(torch.equal(delta, first.deltas[name]) for name, delta in whole.deltas.items())

    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"positions": "rotary"}, "positions none"),
            ({"modules": ("attn_temp",)}, "does not train"),
            ({"query_rank": 4}, "does not train"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, tuned, told, clip_latents, changes, word):
        first = tuned(clip_latents, told, 1)
        with pytest.raises((ConfigError, MotionError), match=word):
            tuned(clip_latents, told, 1, start=first, **changes)

    def test_another_rank_is_refused(self, tuned, told, clip_latents):
        with pytest.raises(MotionError, match="query_rank"):
            tuned(clip_latents, told, 1, start=tuned(clip_latents, told, 1, query_rank=2), query_rank=4)

    def test_zero_steps_from_nothing_are_refused(self, tuned, told, clip_latents):
        with pytest.raises(ConfigError, match="num_steps 0 without a motion"):
            tuned(clip_latents, told, 0)

    def test_the_model_and_the_start_stay_as_they_are(self, unet, told, schedule, clip_latents):
        denoiser = UNetDenoiser(unet=unet, schedule=schedule)
        config = TuneConfig(num_steps=1, learning_rate=1e-3, memory="speed", modules=("attn1.to_q", "attn2.to_q"))
        first = tune(denoiser, clip_latents, told, config=config)
        loud = Motion(deltas=first.deltas, temporal={n: t + 1 for n, t in first.temporal.items()}, info=first.info)
        before, kept = copy.deepcopy(unet.state_dict()), {n: t.clone() for n, t in loud.temporal.items()}
        on = tune(denoiser, clip_latents, told, config=config, start=loud)
        assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())
        assert all(torch.equal(t, loud.temporal[n]) and torch.equal(t, on.temporal[n]) for n, t in kept.items())


def plain_2d(unet):
    """The 2-D UNet that an inflated one was made from, with the same weights."""
    from diffusers import UNet2DConditionModel

    config = {n: v for n, v in unet.config.items() if not n.startswith("_") and n != "inflation"}
    plain = UNet2DConditionModel.from_config(config)
    plain.load_state_dict({n: t for n, t in unet.state_dict().items() if "_temp." not in n})
    return plain.eval().requires_grad_(False)
