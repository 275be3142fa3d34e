"""The nodes that load, compose, compare and measure videos, in reading order:

load_clip    the frames of a video, with their sound
demo_model   the demo model and its clip
composite    the edit inside a mask or a range of frames, the source around it
mark         a short text hidden in every frame
compare      videos side by side
measure      scores of a video
report       videos, scores and settings on one HTML page
"""
