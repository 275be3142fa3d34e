"""The nodes that make, keep and apply a motion, in reading order:

tune            One-Shot Tune
tune_clips      Tune Several Clips
tune_options    its rarely changed settings
stop_early      ends a run early; preview_judge holds what previews are scored by
cockpit         what the node shows during a run: loss, time left, previews
motion_files    Save Motion, Load Motion, Import Original
apply_motion    a motion on a MODEL
"""
