"""From a clip to noise, and from noise to an edited clip.

invert.py inverts a clip by the steps in solvers.py and multistep.py; the result is a `Trajectory` (trajectory.py).
edit.py samples a video under a new prompt, in one of the ways of samplers.py. injection.py keeps the source's layout in
an edit, local_edit.py keeps what lies outside a mask. blend.py, stretch.py and free_noise.py make other starts,
from_animation.py starts from a crude animation. step_time.py estimates the time of either. config.py holds the
settings, presets.py sets of them for common goals.
"""
