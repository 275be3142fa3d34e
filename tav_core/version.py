"""The pack's version, recorded in every motion file."""

__version__ = "0.1.0"
