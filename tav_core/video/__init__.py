"""A video file to frames and back, with its sound, masks and sizes."""
