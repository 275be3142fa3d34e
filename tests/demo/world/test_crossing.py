"""The clips in which two shapes cross: they do cross, one hides the other, and every edit says something else."""

import numpy as np
import pytest

from demo.world.clips import NUM_FRAMES, all_clips
from demo.world.crossing import KINDS, OBJECTS, crossing_clips, render_frame, silhouette
from demo.world.crossing_masks import hints, local_prompts, mask_of, seen
from demo.world.world import SIZE, combinations, fits

CLIPS = crossing_clips()
by_clip = pytest.mark.parametrize("clip", CLIPS, ids=[clip.name for clip in CLIPS])


def test_they_are_a_list_of_their_own():
    assert len(CLIPS) >= 4 and not {clip.name for clip in CLIPS} & {clip.name for clip in all_clips()}
    assert {clip.scenes[0].front for clip in CLIPS} == set(OBJECTS)


@by_clip
def test_two_shapes_meet_in_the_middle_and_part_again(clip):
    assert len(clip.scenes) == NUM_FRAMES and clip.frames().shape == (NUM_FRAMES, SIZE, SIZE, 3)
    clear = [frame.is_clear for frame in clip.scenes]
    assert clear[:2] == clear[-2:] == [True, True] and clear.count(False) >= 2
    ways = [clip.path(name)[-1] - clip.path(name)[0] for name in OBJECTS]
    assert np.linalg.norm(ways[0] - ways[1]) > 40
    for frame in clip.scenes:
        assert all(fits("circle", one.x, one.y, one.radius) for one in (frame.first, frame.second))


@by_clip
def test_the_one_in_front_hides_the_other(clip):
    hidden = 0
    for frame in clip.scenes:
        front, behind = (getattr(frame, name) for name in (frame.front, frame.behind))
        common = silhouette(front, margin=-3) & silhouette(behind, margin=-3)
        hidden = max(hidden, int(common.sum()))
        shades = render_frame(frame)[common]
        assert (np.abs(shades - front.rgb).mean(-1) < np.abs(shades - behind.rgb).mean(-1)).all()
    assert hidden > 60


@by_clip
def test_every_kind_of_edit_is_there_and_says_what_stands_out(clip):
    assert {edit.kind for edit in clip.edits} == set(KINDS)
    assert len({edit.prompt for edit in (*clip.edits, clip)}) == len(clip.edits) + 1
    for edit in clip.edits:
        assert all((*getattr(edit, name), edit.background) in combinations() for name in OBJECTS)


def test_the_prompt_names_both():
    assert CLIPS[0].prompt == "a red circle and a blue square on a gray background"
    assert CLIPS[0].edits[0].prompt == "a yellow circle and a blue square on a gray background"


@by_clip
def test_masks_say_who_is_in_front(clip):
    for frame in clip.scenes:
        front, behind = seen(frame, frame.front), seen(frame, frame.behind)
        visible = silhouette(getattr(frame, frame.behind)) & ~silhouette(getattr(frame, frame.front), margin=1)
        # The disc leaves the tip of a triangle out.
        assert front[silhouette(getattr(frame, frame.front))].mean() > 0.98 and not front[visible].any()
        assert (behind[visible].mean() > 0.98 or not visible.any()) and not behind[
            silhouette(getattr(frame, frame.front))
        ].any()


@by_clip
def test_what_an_edit_is_told(clip):
    for edit in clip.edits:
        mask = mask_of(clip, edit).numpy() > 0
        for name in OBJECTS:
            held = np.stack([silhouette(getattr(frame, name)) & seen(frame, name) for frame in clip.scenes])
            assert (mask[held].mean() > 0.98) == (edit.kind in (name, "both"))
        told = local_prompts(clip, edit)
        assert [words for words, _ in told] == [
            "a {} {} on a {} background".format(*getattr(edit, name)[::-1], edit.background) for name in OBJECTS
        ]
    assert hints(clip).shape == (NUM_FRAMES, SIZE, SIZE, 1)
