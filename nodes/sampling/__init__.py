"""The nodes that invert and edit, in reading order:

invert, sample_edit                   from the clip to noise, and from noise to the edited clip
compare_inversions, blend_inversions  what each method loses; two inversions in one
context_windows, free_noise           clips longer than memory allows, and random starts for them
inject_source                         edits that keep the clip's layout
mask_control                          a ControlNet that acts inside a mask alone
edit_preset                           settings by goal
"""
