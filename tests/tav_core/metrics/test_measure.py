"""All scores in one call: each is what its own function says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tav_core
from tav_core import metrics
from tav_core.errors import ConfigError, InputError
from tav_core.metrics import (
    SCORES,
    angle_entropy,
    angle_histogram,
    load_clip_model,
    load_dino_model,
    measure_flow,
    measure_video,
)
from tav_core.metrics.motion import flow_magnitudes, warp_errors
from tav_core.metrics.scores import format_scores
from tav_core.metrics.similarity import frame_consistency, matched_similarity, text_similarity

PROMPT = "a man is skiing"


@pytest.fixture
def judges(clip_folder, dino_folder):
    return {"clip": load_clip_model(clip_folder), "dino": load_dino_model(dino_folder)}


def test_every_score_is_that_of_its_function(shifted, turned, judges):
    pytest.importorskip("cv2")
    scores = measure_video(turned, source=shifted, prompt=PROMPT, **judges)
    assert list(scores.values) == list(SCORES)
    assert set(SCORES) - set(scores.curves) == {"motion_entropy"}
    clip, flow = judges["clip"], measure_flow(turned)
    embeddings = clip.encode_images(turned)
    expected = {
        "clip_frames": frame_consistency(embeddings),
        "clip_text": text_similarity(embeddings, clip.encode_text(PROMPT)).mean(),
        "clip_source": matched_similarity(embeddings, clip.encode_images(shifted)).mean(),
        "dino_frames": frame_consistency(judges["dino"].encode_images(turned)),
        "warp_error": warp_errors(turned, flow).mean(),
        "source_warp_error": warp_errors(turned, measure_flow(shifted)).mean(),
        "motion_entropy": angle_entropy(angle_histogram(flow.forward)),
        "motion_magnitude": flow_magnitudes(flow.forward).mean(),
    }
    for name, value in expected.items():
        assert scores.values[name] == pytest.approx(float(value), rel=1e-6), name


def test_what_is_not_given_is_left_out(video, judges):
    assert list(measure_video(video, motion=False).values) == ["second_difference"]
    with_clip = measure_video(video, clip=judges["clip"], motion=False)
    assert list(with_clip.values) == ["clip_frames", "second_difference"]
    assert [len(with_clip.curves[name]) for name in with_clip.values] == [5, 4]


def test_pairs(video, judges):
    every = measure_video(video, clip=judges["clip"], motion=False)
    neighbours = measure_video(video, clip=judges["clip"], motion=False, pairs="consecutive")
    assert neighbours.values["clip_frames"] == pytest.approx(sum(every.curves["clip_frames"]) / 5)
    assert neighbours.values["clip_frames"] != pytest.approx(every.values["clip_frames"])


def test_a_video_is_like_itself_and_follows_itself(shifted, judges):
    pytest.importorskip("cv2")
    scores = measure_video(shifted, source=shifted, **judges).values
    assert scores["clip_source"] == pytest.approx(100) == scores["dino_source"]
    assert scores["source_warp_error"] == scores["warp_error"]


def test_bytes_are_the_same_video_and_the_source_may_have_another_size(video, shifted):
    pytest.importorskip("cv2")
    pixels = video.mul(255).round().to(torch.uint8)
    assert measure_video(pixels, motion=False) == measure_video(pixels / 255, motion=False)
    before = shifted.clone()
    assert measure_video(video, source=shifted).values["source_warp_error"] > 0
    assert torch.equal(shifted, before)


def test_each_part_is_told_of(video, judges):
    told = []
    measure_video(video, clip=judges["clip"], motion=False, on_step=told.append)
    assert told == ["frames", "clip"]


class TestErrors:
    """Each says what it got, what it expected and what to do."""

    def test_too_few_frames(self, video):
        with pytest.raises(InputError, match="2 frames"):
            measure_video(video[:2])

    def test_another_number_of_frames(self, video):
        with pytest.raises(InputError, match="a source of 5 frames for a video of 6"):
            measure_video(video, source=video[:5])

    def test_not_numbers(self, video):
        video[2, 3, 4, 0] = float("nan")
        with pytest.raises(InputError, match="not finite"):
            measure_video(video)

    @pytest.mark.parametrize("change", [lambda frames: frames * 255, lambda frames: frames * 2 - 1])
    def test_other_ranges(self, video, change):
        with pytest.raises(InputError, match=r"frames with values from .*Divide bytes by 255"):
            measure_video(change(video), motion=False)

    def test_channels(self, video):
        with pytest.raises(InputError, match="frames of shape"):
            measure_video(video[..., :1])

    def test_a_prompt_without_clip(self, video):
        with pytest.raises(ConfigError, match="a prompt but no CLIP"):
            measure_video(video, prompt=PROMPT)

    def test_unknown_pairs(self, video):
        with pytest.raises(ConfigError, match="all, consecutive"):
            measure_video(video, pairs="some")


def test_scores_as_text():
    lines = format_scores({"warp_error": 0.01234, "clip_frames": 95.123}).splitlines()
    assert lines == ["CLIP frame consistency  95.12", "warp error              0.0123"]


def test_importing_it_loads_nothing_heavy_and_every_name_is_there():
    heavy = {"torch", "transformers", "numpy", "cv2", "PIL", "einops"}
    code = f"import sys, tav_core.metrics; print(sorted({heavy!r} & set(sys.modules)))"
    root = Path(tav_core.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
    assert all(getattr(metrics, name) is not None for name in metrics.__all__)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        metrics.nothing_of_the_kind  # noqa: B018


def test_measuring_pixels_needs_no_opencv(video):
    code = (
        "import sys; sys.modules['cv2'] = None; import torch; from tav_core.metrics import measure_video;"
        "measure_video(torch.rand(3, 16, 16, 3), motion=False); print('transformers' in sys.modules)"
    )
    root = Path(tav_core.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False"
