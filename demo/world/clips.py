"""The clips that the demo is tested on: eight frames each of something that moves, grows, turns or passes behind.

The model saw none of them in training. Each shows things that its prompt does not say (an odd shade, a texture, a mark,
a second object), and has edits that change what can be said.
"""

import dataclasses
import functools

import numpy as np

from .captions import phrase
from .clip_scenes import PATHS, SOURCES
from .world import Scene, render

NUM_FRAMES = 8
PARTS = ("shape", "colour", "background")
# The indices of a clip's frames that make a periodic motion: there and back, twice, with a period of four frames.
SWING = (1, 3, 5, 3) * 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit:
    """A prompt to render a clip under, and what the result must show.

    shape, colour, background: the names that every frame must show; None if the prompt does not say.
    keep: what must stay as in the source; any of "path", "shape", "colour", "background" (if neither prompt names it,
    so that only tuning can know it), "shade" (the exact colour), "background_shade", "texture", "mark", "outline",
    "second".
    changed: how many of shape, colour and background the prompt changes.
    """

    prompt: str
    shape: str | None
    colour: str | None
    background: str | None
    keep: tuple[str, ...]
    changed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """A named clip: its source prompt, the truth of every frame, and its edits."""

    name: str
    prompt: str
    scenes: tuple[Scene, ...]
    edits: tuple[Edit, ...]

    def frames(self, size: int = 96) -> np.ndarray:
        """The rendered clip, float32 `f h w c` in [0, 1]."""
        return np.stack([render(scene, size) for scene in self.scenes])

    def path(self) -> np.ndarray:
        """The object's true centre in every frame, `f 2` (x, y) in pixels."""
        return np.array([(scene.x, scene.y) for scene in self.scenes])


def _keep(scene: Scene, said: dict[str, str], now: dict[str, str]) -> tuple[str, ...]:
    """What must stay of a scene when its prompt changes from the words `said` to the words `now`."""
    kept = ["path", *(part for part in PARTS if part not in said and part not in now)]
    same_colour = said.get("colour") == now.get("colour")
    same_background = said.get("background") == now.get("background")
    textured = scene.texture in ("stripes", "checker")
    wanted = {
        "shade": same_colour,
        "background_shade": same_background,
        "texture": same_background and textured,
        "mark": scene.mark != "none",
        "outline": scene.outline != "none",
        "second": scene.second is not None,
    }
    return (*kept, *(part for part, holds in wanted.items() if holds))


def make_edit(scene: Scene, said: dict[str, str], change: dict[str, str]) -> Edit:
    """The edit that replaces the words `said` of a clip by those in `change`; "" leaves a part out."""
    now = {part: word for part, word in {**said, **change}.items() if word}
    return Edit(
        prompt=phrase(**now),
        keep=_keep(scene, said, now),
        changed=sum(bool(word) for word in change.values()),
        **{part: now.get(part) for part in PARTS},
    )


@functools.cache
def all_clips() -> tuple[Clip, ...]:
    """The demo's clips, the same on every call."""
    clips = []
    for name, (said, scene, changes) in SOURCES.items():
        course = np.linspace(0, 1, NUM_FRAMES)
        scenes = tuple(dataclasses.replace(scene, **PATHS[name](scene, float(at))) for at in course)
        edits = tuple(make_edit(scene, said, change) for change in changes)
        clips.append(Clip(name=name, prompt=phrase(**said), scenes=scenes, edits=edits))
    return tuple(clips)


def changed_parts(clip: Clip, edit: Edit) -> list[str]:
    """Those of `PARTS` that an edit changes in its clip. A part that the prompt leaves out does not count."""
    return [part for part in PARTS if getattr(edit, part) not in (None, getattr(clip.scenes[0], part))]


def swinging(clip: Clip) -> Clip:
    """The clip with a periodic motion: its own motion there and back, twice. `all_clips` holds no such clip."""
    return dataclasses.replace(clip, name=f"{clip.name}-swing", scenes=tuple(clip.scenes[i] for i in SWING))


@functools.cache
def clips_by_name() -> dict[str, Clip]:
    """The demo's clips, and the swinging version of each."""
    return {clip.name: clip for clip in (*all_clips(), *map(swinging, all_clips()))}


def clip_named(name: str) -> Clip:
    """The clip with that name; KeyError if there is none."""
    return clips_by_name()[name]
