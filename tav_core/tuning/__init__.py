"""One-shot tuning: the loop, its state on disk, its memory, and the motion that it returns.

tune.py is the entry and the loop. training_run.py holds a run in progress, with the AdamW step (`TuningRun.train_on`);
training_copy.py makes the copy of the model that it trains. config.py holds the settings. memory_plan.py and
recompute.py make a step fit into memory; step_time.py estimates the run's time. state.py saves and resumes a run,
state_contents.py is what is saved, and background.py saves while the run goes on; run_lock.py keeps other processes
away from it. motion.py is the result, motion_info.py its metadata. early_stop.py ends a run when previews no longer
improve; progress.py is what callbacks get.

clips_run.py tunes on several clips: on many, for what other tunings can start from (`learn_start`), or on a few that
share a motion (`tune_clips`), whose looks appearance.py keeps apart. start.py begins from another motion. The room
video_layers/ trains LaVie's base on a folder of clips and pictures.
"""
