"""Every contact with ComfyUI's internals, in reading order:

unet        reads a MODEL: its family, its noise schedule, its UNet as diffusers' class
motion      a motion on a MODEL, as patches of a clone
tuning      tunes a MODEL; preview renders what it has learned so far
sampling    inversion and editing inside ComfyUI's sampling
windows     context windows on a MODEL
injection   an inverted source that runs along with each batch
demo        the demo model as ComfyUI's MODEL, CLIP and VAE
"""
