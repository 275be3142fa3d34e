"""One-shot tuning: the loop, its state on the disk, its memory, and the motion that it gives."""
