"""Basic image maths with numpy alone: blur, erosion, components, holes, hue."""

import numpy as np


def blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of `h w c` (or `h w`), edges repeated."""
    radius = max(1, int(np.ceil(2.5 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(picture.dtype)
    for axis in (0, 1):
        widths = [(radius, radius) if i == axis else (0, 0) for i in range(picture.ndim)]
        padded, size = np.pad(picture, widths, mode="edge"), picture.shape[axis]
        picture = sum(weight * padded.take(range(i, i + size), axis) for i, weight in enumerate(kernel))
    return picture


def erode(mask: np.ndarray, times: int = 1) -> np.ndarray:
    """Drop pixels that have a 4-neighbour outside the mask, `times` times; outside the picture counts as outside."""
    for _ in range(times):
        padded = np.pad(mask, 1)
        mask = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask


def dilate(mask: np.ndarray, times: int = 1) -> np.ndarray:
    """Add pixels that have a 4-neighbour inside the mask, `times` times."""
    for _ in range(times):
        padded = np.pad(mask, 1)
        mask = mask | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask


def components(mask: np.ndarray) -> list[np.ndarray]:
    """The 4-connected parts of a mask, as masks, largest first."""
    height, width = mask.shape
    left = set(np.flatnonzero(mask).tolist())
    parts = []
    while left:
        stack = [left.pop()]
        found = []
        while stack:
            at = stack.pop()
            found.append(at)
            column = at % width
            beside = (at - width, at + width, at - 1 if column else -1, at + 1 if column < width - 1 else -1)
            for neighbour in beside:
                if neighbour in left:
                    left.remove(neighbour)
                    stack.append(neighbour)
        part = np.zeros(height * width, bool)
        part[found] = True
        parts.append(part.reshape(height, width))
    return sorted(parts, key=lambda part: -int(part.sum()))


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """The mask with its holes filled: a hole is what cannot be reached from the picture's border."""
    outside = components(np.pad(~mask, 1, constant_values=True))
    corner = next(part for part in outside if part[0, 0])
    return ~corner[1:-1, 1:-1]


def centroid(mask: np.ndarray) -> tuple[float, float]:
    """Mean (x, y) of a mask's pixel centres, in pixels from the picture's top left corner."""
    rows, columns = np.nonzero(mask)
    return float(columns.mean() + 0.5), float(rows.mean() + 0.5)


def hsv(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue in degrees, saturation and value of `... 3` rgb in [0, 1]."""
    high, low = rgb.max(-1), rgb.min(-1)
    spread = np.maximum(high - low, 1e-6)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    hue = np.where(high == red, (green - blue) / spread, np.where(high == green, 2 + (blue - red) / spread, 0))
    hue = np.where((high == blue) & (high != red) & (high != green), 4 + (red - green) / spread, hue)
    return np.mod(60 * hue, 360), (high - low) / np.maximum(high, 1e-6), high
