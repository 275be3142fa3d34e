"""Lists of clips and edits: files to rows, and rows to jobs, with all mistakes told at once.

rows.py says what a row is, and collects the mistakes. csv_file.py and yaml_file.py read a user's own list; loveu.py,
davis.py, five.py and editboard.py read data sets as they lie on the disk. jobs.py turns rows into jobs, one per clip;
clips.py looks whether the clips can be read; read.py is the one call for all of it.
"""
