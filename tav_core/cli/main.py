"""The command line: `python -m tav_core COMMAND`. options/ says what can be asked for; commands.py and others do it."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from ..errors import TavError, explain_out_of_memory
from .options.commands import build_parser
from .signals import Ended, raise_when_ended
from .streams import lasting_streams


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The parsed options; options that are not given come from the preset, if there is one."""
    parser = build_parser()
    # The first parse makes a preset's settings the defaults; the second one uses them.
    parser.parse_args(argv)
    args = parser.parse_args(argv)
    args.given = find_given(argv)
    return args


def find_given(argv: Sequence[str] | None) -> frozenset[str]:
    """The options that are on the command line, by the names of their values: neither defaults nor a preset's."""
    parser = build_parser()
    parser.suppress_defaults()
    return frozenset(vars(parser.parse_args(argv)))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit status: 0, 1 after an error, 130 after Ctrl-C, 128 + n after the signal n."""
    with lasting_streams():
        args = parse(argv)
        try:
            with raise_when_ended():
                return run(args)
        except TavError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt as ended:
            print("cancelled", file=sys.stderr)
            return 128 + (ended.number if isinstance(ended, Ended) else signal.SIGINT)


def run(args: argparse.Namespace) -> int:
    """Runs the command that the options name. Returns the exit status, which is 1 if jobs of a batch failed."""
    from . import animate, commands, lavie, several_clips, zero_shot
    from .outputs import check_outputs

    if args.command == "batch":
        from .batch import run_batch_command

        return run_batch_command(args)
    if args.command == "study":
        from .study import run_study

        return run_study(args)
    check_outputs(args)
    homes = {"generate": zero_shot, "instruct": zero_shot, "convert": lavie, "animate": animate}
    homes |= {"learn-start": several_clips, "tune-clips": several_clips}
    home, name = homes.get(args.command, commands), f"run_{args.command.replace('-', '_')}"
    if getattr(args, "lavie", None):
        home = lavie
    if getattr(args, "animation", None):
        home, name = animate, "run_edit_animation"
    with explain_out_of_memory(f"running {args.command}", "Use a smaller size, or close other programs."):
        getattr(home, name)(args)
    return 0
