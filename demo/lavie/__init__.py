"""A cascade like LaVie's (arXiv 2309.15103) that runs here: text to 16 frames, to 61 frames, to four times the size.

It was trained on the world of creatures in motion: the places, subjects and styles of `demo/creatures`, and paths.
"""
