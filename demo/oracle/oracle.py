"""The oracle tells from a frame alone what is where. It uses classical image maths and no model.

The colours of a background lie on a ray from black, because a texture changes only the value of a shade. Pixels off
that ray are foreground. The largest part of one colour is the object, and its silhouette tells the shape. If a frame
does not look like the world at all, the oracle says "unknown" instead of guessing.
"""

import dataclasses
import math

import numpy as np

from . import masks, silhouettes

UNKNOWN = "unknown"
BORDER = 6
FOREGROUND_DISTANCE = 0.16
MIN_AREA, MAX_AREA = 130, 3000
MIN_OVERLAP = 0.74
MIN_SECOND_AREA = 45
RIM_SHARE = 0.45
TIP_SHARE = 0.08
HOLLOW_SHARE = 0.22
# Hue in degrees; wider than the hues in stills, to allow for blur and for the shades between that a model paints.
_HUES = {"red": (335, 380), "yellow": (36, 78), "green": (82, 165), "blue": (190, 250), "purple": (256, 326)}
_INK_VALUE = 0.30
_COLOUR_SATURATION, _WHITE_SATURATION, _WHITE_VALUE = 0.42, 0.22, 0.66


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What one frame shows. Names that cannot be read are "unknown", numbers are nan. Pixels, rgb in [0, 1].

    shade, background_shade: mean rgb. contrast: standard deviation of the background's brightness.
    orientation: direction across a background's stripes, degrees in [0, 180); coherence: how one-directional, 0 to 1.
    mark, outline: "none", "dark" or "light"; style: "plain" or "sketch" (a hollow shape).
    lighting: relative change of the shape's brightness over one radius, along x and y.
    second: the colour of a second object ("none" if there is none), with its place.
    """

    shape: str = UNKNOWN
    colour: str = UNKNOWN
    background: str = UNKNOWN
    x: float = math.nan
    y: float = math.nan
    area: float = math.nan
    shade: tuple[float, float, float] = (math.nan,) * 3
    background_shade: tuple[float, float, float] = (math.nan,) * 3
    contrast: float = math.nan
    orientation: float = math.nan
    coherence: float = math.nan
    mark: str = UNKNOWN
    outline: str = UNKNOWN
    style: str = UNKNOWN
    lighting: tuple[float, float] = (math.nan, math.nan)
    second: str = UNKNOWN
    second_x: float = math.nan
    second_y: float = math.nan


def name_pixels(rgb: np.ndarray) -> np.ndarray:
    """The colour word of each pixel: a name, "white", "dark", or "" for a shade between words; `h w` strings."""
    hue, saturation, value = masks.hsv(rgb)
    names = np.full(hue.shape, "", dtype="<U6")
    for name, (low, high) in _HUES.items():
        inside = (np.mod(hue - low, 360) <= high - low) & (saturation > _COLOUR_SATURATION) & (value >= _INK_VALUE)
        names[inside] = name
    names[(saturation < _WHITE_SATURATION) & (value > _WHITE_VALUE)] = "white"
    names[value < _INK_VALUE] = "dark"
    return names


def name_background(rgb: np.ndarray) -> str:
    """The background word for a mean shade."""
    hue, saturation, value = (float(part) for part in masks.hsv(np.asarray(rgb, np.float64)))
    if value < 0.25:
        return "black"
    if saturation < 0.13:
        return "white" if value > 0.75 else "gray" if value < 0.66 else UNKNOWN
    if saturation < 0.20 and value <= 0.66:
        return "gray"
    if 188 <= hue <= 240:
        return "blue"
    if 85 <= hue <= 165:
        return "green"
    return "pink" if 312 <= hue <= 358 and value > 0.6 else UNKNOWN


def _off_ray(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """Distance of every pixel from the background's segment of shades, and the share of the border that lies on it."""
    ring = np.ones(rgb.shape[:2], bool)
    ring[BORDER:-BORDER, BORDER:-BORDER] = False
    border = rgb[ring]
    direction = np.median(border, axis=0) + 1e-3
    for _ in range(2):
        direction = direction / np.linalg.norm(direction)
        along = border @ direction
        on_ray = np.linalg.norm(border - along[:, None] * direction, axis=1) < 0.08
        if on_ray.mean() < 0.3:
            return np.zeros(rgb.shape[:2]), 0.0
        direction = border[on_ray].sum(0) + 1e-3
    direction = direction / np.linalg.norm(direction)
    low, high = np.quantile((border @ direction)[on_ray], (0.03, 0.97))
    if high - low > 0.75:
        return np.zeros(rgb.shape[:2]), 0.0
    nearest = np.clip(rgb @ direction, low - 0.03, high + 0.03)
    return np.linalg.norm(rgb - nearest[..., None] * direction, axis=-1), float(on_ray.mean())


def _object_of(names: np.ndarray, part: np.ndarray) -> tuple[str, np.ndarray]:
    """The main colour inside one foreground part, and the object of that colour with its outline, holes filled.

    An outline or a mark is dark or white and belongs to the colour that it touches. White counts as the object's own
    colour only if it does not enclose another colour."""
    ink = part & ((names == "white") | (names == "dark") | (names == ""))
    candidates = []
    for colour in [*_HUES, "white"]:
        own = part & (names == colour)
        if own.sum() < 0.05 * part.sum():
            continue
        around = ink if colour != "white" else part & ((names == "dark") | (names == ""))
        grown = own
        for _ in range(4):
            grown = grown | (masks.dilate(grown) & around)
        # The tips of an outlined star are ink farther out than the growth reaches; a second object is larger than a
        # tip.
        tips = [tip for tip in masks.components(around & ~grown) if tip.sum() < TIP_SHARE * part.sum()]
        whole = masks.fill_holes(np.any([grown, *tips], axis=0))
        enclosed = colour == "white" and any((whole & (names == hue)).sum() > 0.08 * whole.sum() for hue in _HUES)
        if not enclosed:
            candidates.append((int(whole.sum()), int(own.sum()), colour, whole))
    if not candidates:
        return UNKNOWN, part
    largest = max(area for area, *_ in candidates)
    _, _, colour, whole = max((one for one in candidates if one[0] > 0.8 * largest), key=lambda one: one[1])
    return colour, whole


def _sharpen(part: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """A foreground part cut at half of its rim's contrast, which is the true place of a blurred edge."""
    rim = part & ~masks.erode(part, 4)
    return part & ((distance > RIM_SHARE * np.quantile(distance[rim], 0.75)) | ~rim)


def _ink_of(rgb: np.ndarray, where: np.ndarray, shade: np.ndarray) -> str:
    """ "dark", "light" or "none": how most pixels of `where` compare with the object's own shade."""
    if not where.any():
        return "none"
    _, saturation, value = masks.hsv(rgb[where])
    own_saturation, own_value = (float(part) for part in masks.hsv(shade)[1:])
    if np.mean(value < min(0.36, 0.62 * own_value)) > 0.5:
        return "dark"
    return "light" if own_saturation > 0.35 and np.mean(saturation < 0.55 * own_saturation) > 0.5 else "none"


def _appearance(rgb: np.ndarray, names: np.ndarray, colour: str, whole: np.ndarray) -> dict:
    """Shade, light, mark and outline of the object."""
    own = whole & (names == colour)
    core = masks.erode(own) if masks.erode(own).sum() >= 25 else own
    shade = rgb[core].mean(0)
    x, y = masks.centroid(whole)
    radius = math.sqrt(whole.sum() / math.pi)
    rows, columns = np.indices(whole.shape) + 0.5
    middle = np.hypot(columns - x, rows - y) < 0.2 * radius
    design = np.stack([columns[core] - x, rows[core] - y, np.ones(core.sum())], 1) / radius
    slope = np.linalg.lstsq(design, masks.hsv(rgb[core])[2] / shade.max(), rcond=None)[0]
    return {
        "shade": tuple(float(v) for v in shade),
        "lighting": (float(slope[0]), float(slope[1])),
        "mark": _ink_of(rgb, middle & whole, shade),
        "outline": _ink_of(rgb, masks.erode(whole) & ~masks.erode(whole, 2), shade),
    }


def _background_texture(rgb: np.ndarray, clear: np.ndarray) -> dict:
    """Contrast, orientation and coherence of the background where `clear`: the structure tensor of its brightness."""
    value = masks.blur(rgb.max(-1), 1.0)
    down, across = np.gradient(value)
    inside = masks.erode(clear, 2)
    across, down = across[inside], down[inside]
    xx, yy, xy = (across * across).mean(), (down * down).mean(), (across * down).mean()
    spread = math.hypot(xx - yy, 2 * xy)
    return {
        "contrast": float(value[inside].std()),
        "orientation": float(np.rad2deg(0.5 * math.atan2(2 * xy, xx - yy)) % 180),
        "coherence": float(spread / max(xx + yy, 1e-9)),
    }


def _second_of(names: np.ndarray, rest: np.ndarray) -> dict:
    """The largest other object of one colour outside the main one."""
    parts = masks.components(masks.erode(rest))
    if not parts or parts[0].sum() < MIN_SECOND_AREA // 2:
        return {"second": "none"}
    words, counts = np.unique(names[parts[0]], return_counts=True)
    named = [(count, word) for word, count in zip(words, counts, strict=True) if word not in ("", "dark")]
    x, y = masks.centroid(parts[0])
    return {"second": str(max(named)[1]) if named else UNKNOWN, "second_x": x, "second_y": y}


def foreground_of(frame: np.ndarray) -> np.ndarray:
    """Every pixel of a frame `h w 3` in [0, 1] that is no shade of its background, `h w` bool."""
    return _off_ray(smoothed(frame))[0] > FOREGROUND_DISTANCE


def smoothed(frame: np.ndarray) -> np.ndarray:
    """A frame in [0, 1] with a little blur, as everything here reads it."""
    return masks.blur(np.clip(np.asarray(frame, np.float32), 0, 1), 0.6)


def read_frame(frame: np.ndarray) -> Reading:
    """Reads one frame, `h w 3` in [0, 1] at the world's 96 pixels."""
    rgb = smoothed(frame)
    distance, on_ray = _off_ray(rgb)
    if on_ray < 0.6:
        return Reading()
    foreground = distance > FOREGROUND_DISTANCE
    backdrop = ~masks.dilate(foreground, 3)
    if backdrop.mean() < 0.25:
        return Reading()
    shade = rgb[backdrop].mean(0)
    found = {"background": name_background(shade), "background_shade": tuple(float(v) for v in shade)}
    found.update(_background_texture(rgb, backdrop))
    parts = [_sharpen(part, distance) for part in masks.components(foreground)[:6] if part.sum() >= 20]
    names = name_pixels(rgb)
    named = [_object_of(names, part) for part in parts]
    colour, whole = max(named, key=lambda one: int(one[1].sum()), default=(UNKNOWN, foreground))
    if not MIN_AREA <= whole.sum() <= MAX_AREA or colour == UNKNOWN:
        return Reading(**found)
    x, y = masks.centroid(whole)
    shape, overlap, _ = silhouettes.match(whole)
    found.update(_appearance(rgb, names, colour, whole))
    hollow = (whole & ~foreground).sum() > HOLLOW_SHARE * whole.sum()
    found.update({"style": "sketch", "mark": "none"} if hollow else {"style": "plain"})
    found.update(_second_of(names, foreground & ~masks.dilate(whole, 2)))
    return Reading(
        shape=shape if overlap >= MIN_OVERLAP else UNKNOWN, colour=colour, x=x, y=y, area=float(whole.sum()), **found
    )


def read_frames(frames: np.ndarray) -> list[Reading]:
    """Reads every frame of `f h w 3` in [0, 1]."""
    return [read_frame(frame) for frame in frames]
