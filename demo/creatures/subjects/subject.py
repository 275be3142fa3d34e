"""What a subject is: something that moves in a picture, and that a caption names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from ..drawing.colours import Rgb
from ..drawing.pen import Pen


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """The variety within a subject, which a caption never names.

    Args:
        main: the colour that a person would call the subject's.
        second: a colour beside it: of a belly, a shell, stripes.
        accent: a small part's colour: of inner ears, a bill, a basket.
        marked: whether it has the markings that its kind may have.
        shape: a proportion of its kind in [0, 1], such as the length of a rabbit's ears.
    """

    main: Rgb
    second: Rgb
    accent: Rgb
    marked: bool
    shape: float


@dataclasses.dataclass(frozen=True)
class Head:
    """The place where a hat would sit: the top of a head or roof and half its width, in the pen's units."""

    x: float
    y: float
    size: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """A kind of creature or machine.

    Args:
        draw: draws it facing right at a phase of its motion, and tells where its head is. The pen's origin is the point
            on the ground under its middle, and the pen's unit is its height.
        random_look: makes one of its looks.
        height: the range of its height, in pixels of the picture.
        reach: how far it extends to the left and to the right of the origin, in units of its height.
        floats: whether it is in the air or in water; the origin is then at the bottom of it.
    """

    draw: Callable[[Pen, Look, float], Head]
    random_look: Callable[[np.random.Generator], Look]
    height: tuple[float, float]
    reach: tuple[float, float]
    floats: bool = False
