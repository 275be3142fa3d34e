"""How frames may be brought to a size, see sizes.py. Apart from it, because an option needs no torch."""

from __future__ import annotations

FITS = ("crop", "pad", "stretch")
