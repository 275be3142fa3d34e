"""The training of the demo's model, in the order of its stages; `python -m demo.train` runs them.

vae.py (with vae_start.py, its starting weights), text.py, unet.py and adapter.py train one network each. common.py
holds the paths, the log and the training stills; sample_stills.py draws stills from the result.
"""
