"""The command line, `python -m tav_core`: a host of the library, as the nodes are.

options/ names the commands and what they can be told; main.py runs them, once outputs.py has looked where the results
go. commands.py holds those of Tune-A-Video itself; lavie.py, zero_shot.py, animate.py, several_clips.py, batch.py,
study.py, report.py and info.py hold the others. inputs.py loads what they work on: models and starts; controls.py,
local_edit.py, flow.py and early_stop.py do so for their options, and needs.py refuses those that would do nothing.
progress.py shows progress, streams.py guards what is written to the terminal, and signals.py ends a run.
"""
