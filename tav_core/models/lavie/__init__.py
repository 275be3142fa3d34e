"""LaVie's networks (arXiv 2309.15103): what its three checkpoints have beside an inflated Stable Diffusion UNet.

Read in this order: inflate.py (the base and the interpolation, which are options of one inflation), temporal_conv.py
(convolutions over time), upscaler.py (where super-resolution has them).
"""
