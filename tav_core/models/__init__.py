"""The networks and the maths around them.

families.py is the registry of families of models, unsupported.py lists what is refused and why.
unet.py inflates a 2-D UNet into a video UNet, with modules from inflation.py. attention_modes.py says which frames a
frame attends to; attention.py computes attention, along_paths.py a second one along the
flow. schedule.py holds the noise schedule and the DDIM step. latents.py encodes and decodes frames with the VAE;
text.py encodes prompts. precision.py chooses dtypes, memory.py estimates memory, parameter_names.py knows the published
names of weights. step_time.py estimates a run's time, from what traffic.py counts and device_rates.py measures.
"""
