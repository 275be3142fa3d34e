"""One still of the world: its description, and how it is drawn."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from .drawing.canvas import SIZE, blank, shrink
from .drawing.pen import Pen
from .places import PLACES, View
from .styles import STYLES
from .subjects import SUBJECTS, Head, Look
from .things import THINGS, ThingLook

NO_THING = "none"
PLAIN = "plain"
_SHADOW = 0.28
# The height of a thing that lies on the ground, in pixels.
THING_HEIGHT = 17.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that `render` draws. Places and lengths are in pixels of the picture, x to the right and y down.

    Args:
        subject, place, style: names, see `SUBJECTS`, `PLACES` and `STYLES`.
        look, view: what no caption says of the subject and of the place.
        x, y: the point under the subject's middle; a creature on land stands there.
        height: of the subject.
        lifted: how high above that point it is, in a leap; its shadow stays on the ground.
        phase: of the subject's cycle, in [0, 1), see subjects/gait.py.
        scroll: how far the camera has moved to the right. What is near moves by as much, what is far moves less.
        thing: a name of `THINGS`, or "none"; a hat is on the subject's head, other things are at `thing_x`.
        thing_look: what no caption says of the thing.
        seed: of the paper that a style is painted on.
    """

    subject: str
    place: str
    look: Look
    view: View
    x: float
    y: float
    height: float
    lifted: float = 0.0
    phase: float = 0.0
    scroll: float = 0.0
    style: str = "plain"
    thing: str = NO_THING
    thing_look: ThingLook | None = None
    thing_x: float = 20.0
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawn scene.

    Args:
        picture: float32 `h w 3` in [0, 1].
        mask: float32 `h w` in [0, 1], where the subject is.
    """

    picture: np.ndarray
    mask: np.ndarray


def draw(scene: Scene, *, scale: int = 1, scenery: np.ndarray | None = None) -> Drawing:
    """Draws a scene: the scenery, the subject and the thing on it, and all of it in the scene's style.

    Args:
        scale: how many times larger than `SIZE` the picture is. Only the plain style can be drawn larger.
        scenery: what `draw_scenery` gave for this scene's place, view and scroll, to draw it once for many frames.
    """
    if scale != 1 and scene.style != PLAIN:
        raise ValueError(f"the style {scene.style} is drawn at {SIZE} pixels only")
    scenery = draw_scenery(scene, scale=scale) if scenery is None else scenery
    picture, mask = scenery.copy(), np.zeros(scenery.shape[:2], np.uint8)
    if not SUBJECTS[scene.subject].floats:
        _draw_shadow(picture, scene)
    pen = subject_pen(scene, picture, mask)
    head = SUBJECTS[scene.subject].draw(pen, scene.look, scene.phase)
    # A style draws things as clearly as the subject.
    drawn = mask.copy()
    _draw_thing(picture, drawn, scene, head)
    styled = STYLES[scene.style](scenery, picture, drawn, scene.seed)
    return Drawing(picture=shrink(styled), mask=shrink(mask))


def draw_scenery(scene: Scene, *, scale: int = 1) -> np.ndarray:
    """A canvas with the place alone."""
    scenery = blank(scale=scale)
    PLACES[scene.place].draw(scenery, scene.view, scene.scroll)
    return scenery


def render(scene: Scene, *, scale: int = 1) -> np.ndarray:
    """The picture of a scene: float32 `h w 3` in [0, 1], `scale` times `SIZE` pixels wide and high."""
    return draw(scene, scale=scale).picture


def centre(scene: Scene) -> tuple[float, float]:
    """The centre of the subject's silhouette, x and y in pixels."""
    mask = draw(scene).mask
    rows, columns = np.indices(mask.shape) + 0.5
    return float((columns * mask).sum() / mask.sum()), float((rows * mask).sum() / mask.sum())


def subject_pen(scene: Scene, picture: np.ndarray, mask: np.ndarray) -> Pen:
    """A pen in whose frame the subject is drawn."""
    return Pen(canvas=picture, mask=mask, x=scene.x, y=scene.y - scene.lifted, unit=scene.height)


def _draw_shadow(picture: np.ndarray, scene: Scene) -> None:
    shaded = picture.copy()
    left, right = SUBJECTS[scene.subject].reach
    pen = Pen(canvas=shaded, x=scene.x, y=scene.y, unit=scene.height)
    pen.ellipse((right - left) / 2, 0.0, 0.42 * (left + right), 0.06, (20, 18, 30))
    cv2.addWeighted(shaded, _SHADOW, picture, 1 - _SHADOW, 0, dst=picture)


def _draw_thing(picture: np.ndarray, mask: np.ndarray, scene: Scene, head: Head) -> None:
    if scene.thing == NO_THING:
        return
    if scene.thing == "hat":
        pen = subject_pen(scene, picture, mask)
        THINGS["hat"](pen.moved(head.x, head.y, scale=head.size), scene.thing_look)
        return
    lies_at = min(scene.view.ground + 12, SIZE - 4)
    pen = Pen(canvas=picture, mask=mask, x=scene.thing_x, y=lies_at, unit=THING_HEIGHT)
    THINGS[scene.thing](pen, scene.thing_look)
