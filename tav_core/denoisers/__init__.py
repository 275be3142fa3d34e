"""Everything that predicts the noise in latents at a timestep under a text; a denoiser may wrap another denoiser.

denoiser.py holds the protocol `Denoiser`, and `UNetDenoiser`. windows.py denoises long clips in context windows.
control.py adds ControlNets and T2I-Adapters, residuals.py computes what they add at a step, config.py holds their
settings. guidance.py is classifier-free guidance; local_prompts.py gives parts of the picture prompts of their own;
flow_guided.py guides the attention by optical flow.
"""
