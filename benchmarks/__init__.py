"""Timings of whole stages on random weights: `python run.py bench`."""
