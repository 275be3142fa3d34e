"""Runs the command line: `python -m tav_core`."""

import sys

from .cli.main import main

sys.exit(main())
