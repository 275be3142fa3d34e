"""The command `python -m tav_core study`: a blind comparison of two methods by people, and its tally."""

from __future__ import annotations

import argparse

from ..errors import ConfigError
from ..study.page import write_study
from ..study.pairs import find_pairs
from ..study.server import StudyServer
from ..study.tally import count_answers, format_tallies, read_answers, read_key
from .progress import tell


def run_study(args: argparse.Namespace) -> int:
    """Runs the part of the command that the options name; returns the exit status."""
    {"page": make_page, "serve": serve, "tally": tally}[args.part](args)
    return 0


def make_page(args: argparse.Namespace) -> None:
    """Writes the page and its key."""
    if args.out.suffix.lower() != ".html":
        raise ConfigError(got=f"--out {args.out}", expected="a name that ends in .html", mend="Call it study.html.")
    if args.limit < 0:
        raise ConfigError(got=f"--limit {args.limit}", expected="0 or more", mend="Leave it out for all pairs.")
    pairs, labels = find_pairs(args.a, args.b), find_labels(args)
    for path in write_study(args.out, pairs[: args.limit or None], labels=labels):
        print(path)
    tell("keep the key from those who answer")


def find_labels(args: argparse.Namespace) -> tuple[str, str]:
    """The names of the two methods.

    Raises:
        ConfigError: they are equal, so that a tally would not tell them apart.
    """
    a, b = args.label_a or args.a.absolute().name, args.label_b or args.b.absolute().name
    if a == b:
        raise ConfigError(
            got=f"two methods that are both called {a!r}",
            expected="a name for each, by which the tally tells them apart",
            mend="Give them with --label-a and --label-b.",
        )
    return a, b


def serve(args: argparse.Namespace) -> None:
    """Serves the page until Ctrl-C."""
    if not args.page.is_file():
        raise ConfigError(got=f"{args.page}, no such file", expected="a study's page", mend="Make it by study page.")
    with StudyServer(args.page, args.answers, host=args.host, port=args.port) as server:
        print(f"{server.address}  answers go to {args.answers}; Ctrl-C ends it", flush=True)
        server.serve_forever()


def tally(args: argparse.Namespace) -> None:
    """Counts answers."""
    key = read_key(args.key)
    files = [path for given in args.answers for path in (sorted(given.glob("*.csv")) if given.is_dir() else [given])]
    print(format_tallies(count_answers(read_answers(files, key)), key))
