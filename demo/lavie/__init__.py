"""A cascade like LaVie's (arXiv 2309.15103) that runs here: text to 16 frames, to 61 frames, to four times the size.

It is trained on the world of shapes in motion: what `demo/world` draws, on straight paths.
"""
