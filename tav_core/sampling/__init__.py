"""From a clip to noise, and from noise to an edited clip: invert, edit, and what acts between their steps."""
