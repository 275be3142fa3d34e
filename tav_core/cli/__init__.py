"""The command line, `python -m tav_core`: a host of the library, as the nodes are.

main.py builds the parser and runs a command. options.py defines the options, in groups (--start, --stride and --fit
are those of a clip). commands.py runs the commands. inputs.py loads what they work on: models and starts; controls.py,
local_edit.py, flow.py and early_stop.py do so for their options. report.py and info.py are the commands of those names;
progress.py shows progress, streams.py guards what is written to the terminal, and signals.py ends a run.
"""
