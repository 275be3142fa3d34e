"""Every contact with ComfyUI's internals, in reading order:

unet          reads a MODEL: its family, its noise schedule, its UNet as diffusers' class
inflation     the patches that every video model consists of
attention     which of ComfyUI's attentions our layers call; frame_attention makes it look across frames
motion        a motion on a MODEL, as patches of a clone
sizes         the sizes that Stable Diffusion XL is told
lavie         LaVie's base as a MODEL; lavie_host runs its interpolation and super-resolution on lavie_inputs
tuning        tunes a MODEL; preview renders what it has learned so far
sampling      inversion and editing inside ComfyUI's sampling
windows       context windows on a MODEL
control_mask  a ControlNet that acts inside a mask alone
injection     an inverted source that runs along with each batch
build         a MODEL of any size, from weights
demo          the demo model as ComfyUI's MODEL, CLIP and VAE
"""
