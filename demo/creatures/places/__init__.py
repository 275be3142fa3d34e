"""Where subjects are: seven places that a person recognises at a glance, each with a palette of its own."""

from __future__ import annotations

from .land import DESERT, MEADOW, SNOW
from .night import CITY, SPACE
from .parts import Place, View
from .sea import BEACH, WATER

PLACES: dict[str, Place] = {
    "meadow": MEADOW,
    "beach": BEACH,
    "snow": SNOW,
    "desert": DESERT,
    "city": CITY,
    "space": SPACE,
    "water": WATER,
}

__all__ = ["PLACES", "Place", "View"]
