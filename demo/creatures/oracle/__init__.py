"""What a frame shows: subject, place, style, thing, where the subject is, and the phase of its cycle."""

from .reading import UNKNOWN, Oracle, Reading

__all__ = ["UNKNOWN", "Oracle", "Reading"]
