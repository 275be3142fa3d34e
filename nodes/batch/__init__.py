"""A list of prompts over a folder of clips, in reading order:

clip_list     what goes over the wires: clips as files that are not yet read, edits as files that are written
load_clips    the clips of a folder, as a list
core_stages   the stages of one clip on ComfyUI's models: tune, invert, edit, score
plan          what Edit Clips is to do: jobs, settings, models and their hashes
edit_clips    every clip under every prompt
report        all edits on one page
"""
