"""`python -m tav_core`."""

import sys

from .cli.cli import main

sys.exit(main())
