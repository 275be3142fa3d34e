"""Studies of many clips and variants, and what the demo's commands share.

settings.py says how the demo tunes and edits; variants.py, the variants that the ablation compares; jobs.py, one job of
it; drawn.py draws the edits as they should be. The results: ablation_tables.py and tables.py (tables), pictures.py
(contact sheets and plots), report.py (the folder that the showcase writes).
"""
