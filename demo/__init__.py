"""The demo: small text-to-image models in Stable Diffusion 1.x layout, and drawn worlds to check their results in.

creatures/ is the world that people see: animals and machines that move through places. world/, oracle/, trainers/ and
model/ are an older, smaller one, of simple shapes: its drawings and captions, what reads them back from frames and
scores edits, its training, its model. study/ holds what runs over many clips of either world: jobs, tables, pictures.

The commands: showcase.py (`python run.py demo`: tune, invert, edit), ablation.py (`python run.py ablation`: what each
part of the method does), tuning_steps.py (how many tuning steps an edit needs), zero_shot.py (videos from prompts),
train_creatures.py and train.py (train the models), score_creatures.py and score_stills.py (how good their stills are),
make_clip.py (writes clip.mp4 and clip_mask.png).
"""
