"""Text2Video-Zero (arXiv 2303.13439): video from text with any checkpoint, nothing trained.

    one frame -> its latents at t0 -> moved by a motion field -> noise up to t1 -> all frames from t1 on

Every frame attends to frame 0 instead of itself: `InflatedUNet.from_2d(unet, attention="first")`.
"""
