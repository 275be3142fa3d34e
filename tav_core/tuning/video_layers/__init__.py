"""Training of a video model's temporal layers on many captioned clips, jointly with still pictures (arXiv 2309.15103).

train.py is the entry and the loop; config.py holds the settings. captioned_folder.py finds the examples and
captioned_latents.py encodes them. draws.py is what a step draws, run.py the step itself, state.py what is saved, and
processes.py joins several GPUs.
"""
