"""MotionDirector's appearance-debiased loss (arXiv 2310.08465, section 4.2): motion is what differs from one frame.

phi(e_i) = sqrt(beta^2 + 1) e_i - beta e_anchor, for the noise e_i of each frame and that of one anchor frame, takes
away what the frames share. The loss is the mean squared distance of the predicted phi from the true one, beside the
usual loss.
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

# The paper's. With it, phi of white noise has the variance 3 where i is not the anchor.
BETA = 1.0
# Sets these draws apart from those of timestep and noise, which they must not change.
STREAM = 1


def debiased_loss(predicted: Tensor, target: Tensor, *, anchor: int, beta: float = BETA) -> Tensor:
    """The loss of phi over all frames.

    Args:
        predicted, target: `b c f h w`.
        anchor: the number of the anchor frame.
    """
    # phi is linear, so the distance of two phis is the phi of their distance.
    error = predicted - target
    return (math.sqrt(beta**2 + 1) * error - beta * error[:, :, anchor : anchor + 1]).square().mean()


def draw_anchor(num_frames: int, *, seed: int, step: int) -> int:
    """The anchor frame of a step, from the seed and the step alone."""
    word = int(np.random.SeedSequence((seed, step, STREAM)).generate_state(1)[0])
    return word % num_frames
