"""Studies of many clips and variants, and what the demo's commands share.

settings.py says how the demo tunes and edits; variants.py, the variants that the ablation compares; variant_edits.py
renders a clip's edits as one of them says; jobs.py is one job of the ablation; drawn.py draws the edits as they should
be. The results: ablation_tables.py and tables.py (tables), pictures.py (contact sheets and plots), report.py (the
folder that the showcase writes).
"""
