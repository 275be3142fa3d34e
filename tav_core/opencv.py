"""OpenCV, where it is imported only once it is needed: what it lacks is said in words."""

from __future__ import annotations

from types import ModuleType

from .errors import InputError


def import_opencv(use: str, without: str) -> ModuleType:
    """The module `cv2`.

    Args:
        use: what it is for, as an error says it.
        without: what to do instead.

    Raises:
        InputError: it is not installed, or does not load: on a server without libGL, or where one of several opencv
            packages was removed and took the files of the others with it, which leaves an empty `cv2`.
    """
    try:
        import cv2

        if not hasattr(cv2, "DISOpticalFlow_create"):
            raise ImportError("the module cv2 is empty")
    except ImportError as error:
        raise InputError(
            got=f"no OpenCV ({error})",
            expected=f"the module cv2, {use}",
            mend=(
                "Any one of the opencv packages serves. Run `pip install --force-reinstall --no-deps "
                f"opencv-python-headless`, which needs no libGL, or {without}."
            ),
        ) from error
    return cv2


def has_opencv() -> bool:
    """Whether OpenCV is installed and loads."""
    try:
        import_opencv("to look for it", "")
    except InputError:
        return False
    return True
