"""Runs the command line: `python -m tav_core`."""

import os
import sys

from .cli.main import main

# A thread of GNU's OpenMP, in PyTorch for Linux, waits for the others in a loop that keeps its core from them: beside
# two busy programs on two cores, a step took 15 times as long. This is OpenMP's own value for more threads than cores.
# It is read when PyTorch is loaded, which importing the options does not do.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
sys.exit(main())
