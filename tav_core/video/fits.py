"""The ways to bring frames to a size, see sizes.py. They are in a file that needs no torch, for the command line."""

from __future__ import annotations

FITS = ("crop", "pad", "stretch")
