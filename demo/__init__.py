"""The demo: a tiny text-to-image model in Stable Diffusion 1.x layout, and a drawn world to check its results in.

world/ draws stills and clips of simple shapes, and writes captions for them. oracle/ reads shape, colour, background
and place back from frames, and scores edits. trainers/ trained the model. study/ holds settings, jobs, tables and
pictures.

The commands: showcase.py (`python run.py demo`: tune, invert, edit), ablation.py (`python run.py ablation`: what each
part of the method does), tuning_steps.py (how many tuning steps an edit needs), train.py (trains the model),
score_stills.py (how good its stills are), make_clip.py (writes clip.mp4).
"""
