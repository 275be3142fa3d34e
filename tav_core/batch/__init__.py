"""Batches: many clips with many edits each, on one machine or many.

manifest/    lists of clips and edits, and data sets as they lie on the disk, to jobs: one per clip
recipe       the settings that all jobs share
keys         what the result of each stage depends on; hashes of files
stages       tune, invert, each edit, its scores; loading, scoring, thumbnails, peak_memory
run_job      one attempt at one job; job_folder and progress are what it leaves on the disk
executors/   a loop, processes on this machine, Ray: each runs tasks and gives outcomes
driver       the queue, what is tried again (outcomes), and the results
results, page, export, watch    tables, the page, other tools' folders, and how far a batch is
"""
