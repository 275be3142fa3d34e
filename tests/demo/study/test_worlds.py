"""demo/study/worlds.py and drawn.py: both worlds' edits as they should be, and where they may change a clip."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from demo.oracle.scores import summarize
from demo.study.drawn import draw_edits
from demo.study.worlds import creatures, crossing, shapes
from tav_core import ControlConfig, InflatedUNet, UNetDenoiser, load_checkpoint

# What may differ beside the part that an edit changes, because no prompt says it.
OPEN = {
    "colour": {"rgb"},
    "background": {"background_rgb", "texture_rgb"},
    "subject": {"look", "height"},
    "place": {"view"},
    "thing": {"thing_look", "thing_x"},
}
CASES = [(make, name) for make in (shapes, creatures) for name in make().listed]


@pytest.mark.parametrize(("make", "name"), CASES, ids=[f"{make.__name__}-{name}" for make, name in CASES])
def test_scenes_change_in_what_an_edit_asks_for_alone(make, name):
    world, clip = make(), make().clips[name]
    for edit in clip.edits:
        parts = world.changed_parts(clip, edit)
        allowed = set(parts).union(*(OPEN.get(part, set()) for part in parts))
        for scene, source in zip(world.edited_scenes(clip, edit), clip.scenes, strict=True):
            fields = [field.name for field in dataclasses.fields(scene)]
            different = {field for field in fields if getattr(scene, field) != getattr(source, field)}
            assert set(parts) <= different <= allowed
            assert all(getattr(scene, part) == getattr(edit, part) for part in parts)


@pytest.mark.parametrize(("make", "name"), [(shapes, "slide"), (creatures, "bear")])
def test_the_autoencoder_is_a_ceiling_that_is_high_enough(make, name):
    world = make()
    clip = world.clips[name]
    videos = draw_edits(world, load_checkpoint(world.model), clip)
    scores = summarize([world.score(video, clip, edit) for video, edit in zip(videos, clip.edits, strict=True)])
    assert scores["edits_right"] == 1 and scores["path"] > 0.99 and scores["background_kept"] > 0.97
    assert 0.9 < scores["kept"] <= 1


@pytest.mark.parametrize("name", crossing().listed)
def test_crossing_shapes_change_in_what_an_edit_asks_for_alone(name):
    clip = crossing().clips[name]
    for edit in clip.edits:
        for frame, source in zip(crossing().edited_scenes(clip, edit), clip.scenes, strict=True):
            changed = {
                each for each in ("first", "second") if named(getattr(frame, each)) != named(getattr(source, each))
            }
            assert changed == {"both": {"first", "second"}, "background": set()}.get(edit.kind, {edit.kind})
            assert (frame.first.background != source.first.background) == (edit.kind == "background")
            assert frame.distance == source.distance and frame.front == source.front


def named(scene):
    return scene.shape, scene.colour


@pytest.mark.parametrize("name", creatures().listed)
def test_masks_of_creatures_hold_what_an_edit_changes(name):
    clip = creatures().clips[name]
    for edit in clip.edits:
        mask = creatures().mask_of(clip, edit)
        if edit.changed not in (("subject",), ("place",), ("thing",)):
            assert mask is None
            continue
        drawn = dataclasses.replace(clip, scenes=tuple(creatures().edited_scenes(clip, edit)))
        moved = np.abs(drawn.frames() - clip.frames()).max(axis=-1) > 0.05
        assert mask.shape == moved.shape
        # A larger animal goes beyond a mask that was painted around a smaller one, and an outline has soft edges.
        assert mask.numpy()[moved].mean() > (0.7 if edit.changed == ("subject",) else 0.94)


def test_the_edges_of_a_clip_are_what_the_adapter_was_trained_on():
    from demo.creatures.trainers.adapter import hints_of

    clip = creatures().clips["rabbit"]
    pictures = np.round(clip.frames() * 255).astype(np.uint8)
    assert np.array_equal(creatures().hints(clip).movedim(-1, 1), hints_of(pictures))


@pytest.mark.parametrize(("make", "name"), [(shapes, "slide"), (creatures, "rabbit")])
def test_an_adapter_can_lead_the_subject_alone(make, name):
    world = make()
    clip, checkpoint = world.clips[name], load_checkpoint(world.model)
    denoiser = UNetDenoiser(unet=InflatedUNet.from_2d(checkpoint.unet), schedule=checkpoint.schedule)
    everywhere, around = (
        world.lead(denoiser, clip, ControlConfig(), around_subject=alone).controls[0].features
        for alone in (False, True)
    )
    inside = world.subject_of(clip)
    assert inside.min() == 0 and inside.max() == 1 and inside.shape == clip.frames().shape[:3]
    for led, plain in zip(around, everywhere, strict=True):
        # A soft outline may reach a corner.
        assert led[0, :, 0, 0].abs().max() < plain[0, :, 0, 0].abs().max() / 5
        assert (led == plain).flatten(2).all(dim=(1, 2)).logical_not().all()
