"""The oracle: reads back what a frame of the demo's world shows, and scores edited clips.

oracle.py reads a frame (shape, colour, background, place), with the image maths of masks.py and the shapes of
silhouettes.py. scores.py scores an edited clip against its source.
"""
