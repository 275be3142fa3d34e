"""tav_core/sampling/{text_to_video,interpolate,upscale}.py against LaVie itself, and on clips of other lengths."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange

from tav_core.errors import ClipError, ConfigError, LatentsError
from tav_core.models.schedule import draw_noise
from tav_core.sampling import noise_steps
from tav_core.sampling.interpolate import KeyWindows, interpolate, interpolated_length, repeat_keys
from tav_core.sampling.lavie_config import InterpolateConfig, TextToVideoConfig, UpscaleConfig
from tav_core.sampling.text_to_video import text_to_video
from tav_core.sampling.upscale import upscale
from tests.tav_core.lavie_models import golden, golden_denoiser, golden_meta

SMALL = {"width": 64, "height": 64, "num_frames": 3}


@pytest.fixture
def texts():
    tensors = golden("base", "forward")
    return tensors["ctx.cond"], tensors["ctx.uncond"]


class TestTextToVideo:
    @pytest.mark.parametrize(
        ("name", "sampler", "scale"),
        [
            ("ddim10.g7.5", "ddim", 7.5),
            ("ddim10.g1.0", "ddim", 1.0),
            ("ddpm10.g7.5", "ddpm", 7.5),
            ("euler10.g7.5", "euler", 7.5),
        ],
    )
    def test_every_step_matches_the_original(self, name, sampler, scale, texts, monkeypatch, close):
        tensors, reached = golden("base", "sampling"), []
        if sampler == "ddpm":
            drawn = iter(tensors[f"{name}.noise"])
            monkeypatch.setattr(noise_steps, "draw_noise", lambda shape, generator: next(drawn))
        text_to_video(
            golden_denoiser("base"),
            *texts,
            config=TextToVideoConfig(num_steps=10, guidance_scale=scale, sampler=sampler),
            noise=tensors["start"],
            on_step=lambda done, total, latents: reached.append(latents),
        )
        # diffusers' Euler scheduler counts noise as sigma, on latents that are not scaled down.
        sigmas = golden("base", "schedule")["euler_10.sigmas"][1:] if sampler == "euler" else torch.zeros(10)
        for latents, sigma, expected in zip(reached, sigmas, tensors[f"{name}.latents"], strict=True):
            close(latents * (1 + sigma**2).sqrt(), expected, 1e-4, name)

    def test_a_seed_gives_one_video_and_prompts_share_its_noise(self, texts):
        config = TextToVideoConfig(num_steps=2, **SMALL)
        both = text_to_video(golden_denoiser("base"), torch.cat([texts[0], texts[0]]), texts[1], config=config)
        assert both.shape == (2, 4, 3, 8, 8)
        assert torch.equal(both[0], both[1])
        other = TextToVideoConfig(num_steps=2, seed=1, **SMALL)
        assert not torch.allclose(text_to_video(golden_denoiser("base"), *texts, config=other)[0], both[0])

    def test_steps_are_counted_over_all_prompts(self, texts):
        seen = []
        text_to_video(
            golden_denoiser("base"),
            torch.cat([texts[0], texts[1]]),
            texts[1],
            config=TextToVideoConfig(num_steps=2, **SMALL),
            on_step=lambda done, total, latents: seen.append((done, total)),
        )
        assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    @pytest.mark.parametrize("setting", [{"width": 100}, {"sampler": "dpm"}, {"num_frames": 0}, {"num_steps": 0}])
    def test_settings_out_of_range_are_refused(self, setting):
        with pytest.raises(ConfigError, match=next(iter(setting))):
            TextToVideoConfig(**setting)

    def test_text_of_another_width_is_refused(self):
        with pytest.raises(ConfigError, match="d 32"):
            text_to_video(golden_denoiser("base"), torch.zeros(1, 7, 48), torch.zeros(1, 7, 48))


class TestInterpolate:
    @pytest.fixture
    def tensors(self):
        return golden("interpolation", "sampling")

    def test_the_condition_matches_the_original(self, tensors, close):
        close(repeat_keys(tensors["key_latents"][None])[0], tensors["condition"], 1e-6)
        counted = repeat_keys(torch.arange(16.0)[None, None, :, None, None]).flatten().tolist()
        assert counted == golden_meta("interpolation")["condition_source_key_of_each_output"]

    def test_every_step_matches_the_original(self, tensors, close):
        reached = []
        got = interpolate(
            golden_denoiser("interpolation"),
            tensors["key_latents"][None],
            tensors["ctx.cond"],
            tensors["ctx.neg"],
            config=InterpolateConfig(num_steps=10),
            noise=tensors["start"][None],
            on_step=lambda done, total, latents: reached.append(latents),
        )
        for latents, expected in zip(reached, tensors["steps_in"][1:], strict=False):
            close(latents[0], expected, 1e-4)
        close(got[0], tensors["final"], 1e-4)

    @pytest.mark.parametrize("num_keys", [2, 5, 16, 17, 33])
    def test_k_frames_become_4k_minus_3(self, num_keys, tensors):
        keys = torch.randn(1, 4, num_keys, 2, 2)
        config = InterpolateConfig(num_steps=1, window=8, window_overlap=2)
        got = interpolate(
            golden_denoiser("interpolation"), keys, tensors["ctx.cond"], tensors["ctx.neg"], config=config
        )
        assert got.shape[2] == 4 * num_keys - 3
        assert got.isfinite().all()

    @pytest.mark.parametrize(("num_keys", "window", "overlap"), [(17, 16, 4), (40, 16, 4), (33, 8, 1), (9, 2, 1)])
    def test_windows_begin_and_end_at_keys_and_cover_all(self, num_keys, window, overlap):
        length = interpolated_length(num_keys)
        windows = KeyWindows(keys=window, overlap=overlap).at(length, 500)
        assert {frame for each in windows for frame in each} == set(range(length))
        assert all(each.start % 4 == 0 and len(each) == interpolated_length(window) for each in windows)
        # In every window, the keys that are given are those of a clip of its own.
        given = repeat_keys(torch.arange(float(num_keys))[None, None, :, None, None]).flatten()
        own = repeat_keys(torch.arange(float(window))[None, None, :, None, None]).flatten()
        assert all(torch.equal(given[list(each)] - each.start // 4, own) for each in windows)

    @pytest.mark.parametrize("shape", [(1, 4, 1, 2, 2), (2, 4, 5, 2, 2), (4, 5, 2, 2)])
    def test_other_keys_are_refused(self, shape, tensors):
        with pytest.raises(LatentsError):
            interpolate(golden_denoiser("interpolation"), torch.zeros(shape), tensors["ctx.cond"], tensors["ctx.neg"])

    def test_windows_that_overlap_by_all_are_refused(self):
        with pytest.raises(ConfigError, match="overlap"):
            InterpolateConfig(window=4, window_overlap=4)


class TestUpscale:
    @pytest.fixture
    def tensors(self):
        return golden("super_resolution", "sampling")

    def run(self, tensors, frames, **settings):
        given = {"num_steps": 1, **settings}
        return upscale(
            golden_denoiser("super_resolution"),
            frames,
            tensors["ctx.cond"],
            tensors["ctx.neg"],
            config=UpscaleConfig(**given),
        )

    def test_every_step_matches_the_original(self, tensors, close):
        reached = []
        upscale(
            golden_denoiser("super_resolution"),
            (rearrange(tensors["low_res"], "1 c f h w -> f h w c") + 1) / 2,
            tensors["ctx.cond"],
            tensors["ctx.neg"],
            config=UpscaleConfig(num_steps=10),
            noise=(tensors["low_res_noise"], tensors["start"]),
            on_step=lambda done, total, latents: reached.append(latents),
        )
        for latents, expected in zip(reached, tensors["latents"], strict=True):
            close(latents, expected, 1e-4)

    def test_noise_is_drawn_on_the_clip_first(self, tensors):
        frames = torch.rand(2, 4, 4, 3)
        generator = torch.Generator().manual_seed(UpscaleConfig().seed)
        drawn = draw_noise((1, 3, 2, 4, 4), generator), draw_noise((1, 4, 2, 4, 4), generator)
        given = upscale(
            golden_denoiser("super_resolution"),
            frames,
            tensors["ctx.cond"],
            tensors["ctx.neg"],
            config=UpscaleConfig(num_steps=1),
            noise=drawn,
        )
        assert torch.equal(self.run(tensors, frames), given)

    @pytest.mark.parametrize(("num_frames", "chunk", "overlap"), [(20, 8, 2), (9, 8, 0), (5, 1, 0), (8, 8, 2)])
    def test_clips_of_any_length(self, tensors, num_frames, chunk, overlap):
        got = self.run(tensors, torch.rand(num_frames, 4, 5, 3), num_steps=2, chunk=chunk, chunk_overlap=overlap)
        assert got.shape == (1, 4, num_frames, 4, 5)
        assert got.isfinite().all()

    @pytest.mark.parametrize(
        "frames", [torch.zeros(2, 3, 4, 4), torch.zeros(4, 4, 3), torch.full((1, 4, 4, 3), float("nan"))]
    )
    def test_other_frames_are_refused(self, tensors, frames):
        with pytest.raises(ClipError):
            self.run(tensors, frames)

    @pytest.mark.parametrize("setting", [{"noise_level": 351}, {"chunk": 4, "chunk_overlap": 4}])
    def test_settings_out_of_range_are_refused(self, setting):
        with pytest.raises(ConfigError):
            UpscaleConfig(**setting)
