"""How the cascade is trained, stage by stage.

render.py draws what there is to learn from, and encode.py makes latents and text embeddings of it. course.py is what
all trainings share; vae.py, base.py, interpolation.py and upscaler.py are one training each, the base's in two parts:
stills first, then clips and stills together.
"""
