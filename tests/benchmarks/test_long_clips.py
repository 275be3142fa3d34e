"""benchmarks/seams.py and long_clips.py: where the seams are, what a jump there gives, and one short measurement."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import long_clips, seams
from tav_core.denoisers.windows import ContextWindows


def test_a_seam_is_where_a_second_difference_reaches_into_shared_frames():
    at = seams.at_seams([range(0, 16), range(12, 28)], 28)
    assert (np.flatnonzero(at) + 1).tolist() == list(range(11, 17))
    cut = seams.at_seams([range(0, 16), range(16, 32)], 32)
    assert (np.flatnonzero(cut) + 1).tolist() == [14, 15, 16, 17]


def test_every_shift_has_its_seams():
    found = dict(seams.shifts(ContextWindows(), 40))
    assert list(found) == [0, 4, 8]
    assert (np.flatnonzero(found[0]) + 1).tolist() == [*range(11, 17), *range(23, 29)]
    assert [shift for shift, _ in seams.shifts(ContextWindows(shifting=False), 40)] == [0]


def test_a_jump_at_a_seam_shows():
    clip = seams.long_clip("slide", 40)
    frames = clip.frames()
    assert len(frames) == 40 and seams.flicker(frames).max() < 1e-3
    grain = np.random.default_rng(0).normal(0, 1e-3, frames.shape)
    brighter = (frames + grain).astype(np.float32)
    brighter[14:] += 0.1
    (_, at), *_ = seams.shifts(ContextWindows(), 40)
    assert seams.compare([seams.flicker(brighter)], at)["ratio"] > 5


def test_one_measurement(capsys):
    assert long_clips.main(["--only", "demo", "invert", "18", "1", "cpu"]) == 0
    result = json.loads(capsys.readouterr().out)
    # Two windows: 16 frames, and 16 with frame 0 in front.
    assert result["frames_run"] == 33
    assert result["seconds"] > 0
    assert result["peak_bytes"] >= result["added_bytes"] >= 0


def test_a_video_from_a_prompt_runs_frame_0_with_each_chunk(capsys):
    assert long_clips.main(["--only", "demo", "generate", "17", "4", "cpu"]) == 0
    result = json.loads(capsys.readouterr().out)
    # Frame 0 alone for one step to t0, then four steps of chunks of 8, 8 and 3 frames; all of it twice, for guidance.
    assert result["frames_run"] == 2 * (1 + 4 * 19)


def test_wrong_ways_are_refused():
    with pytest.raises(SystemExit):
        seams.main(["--ways", "none"])
