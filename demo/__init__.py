"""The demo world: a tiny text-to-image model in Stable Diffusion 1.x layout, the stills it was trained on, the clips
it is tried on, and the oracle that reads shape, colour, background and place back from frames."""
