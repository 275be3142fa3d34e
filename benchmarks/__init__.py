"""Measures time and memory: `python run.py bench` times whole stages on random weights.

The command: bench.py reads it, cases.py lists the figures it asks for, measure.py takes one figure in a process of its
own, table.py prints it. What is timed: stages.py, workload.py, sizes.py. How: clocks.py, rates.py (the machine's best
rates), flops.py, operations.py (the profile). Compared with: rivals.py, plain.py (a plain twin of the UNet),
original.py. Commands of their own: count_memory.py, roofline.py, estimates.py, growth.py (with growth_frames.py),
long_clips.py, seams.py, recipe.py (the original's whole recipe), time_to_edit.py (with work.py, which counts
evaluations, and edit_cost.py), merged_tokens.py; peers.py, which starts processes of ComfyUI's Python
(peer_processes.py, in_comfyui.py): peer_step.py (with process_memory.py), peer_start.py, and peer_jobs.py, which starts
job_nodes.py and job_library.py.
"""
