"""A parser that answers a wrong option with one sentence, where argparse prints the usage of every option."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` with short errors, which names the option that may have been meant."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuses unknown arguments here, where the command that they were given to is known."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized argument: {unknown[0]}{self.suggest(unknown[0])}")
        return namespace, unknown

    def suppress_defaults(self) -> None:
        """Leaves options that are not given out of what is parsed, those of all commands too."""
        for action in self._actions:
            action.default = argparse.SUPPRESS
            if isinstance(action, argparse._SubParsersAction):
                for command in action.choices.values():
                    command.suppress_defaults()

    def suggest(self, unknown: str) -> str:
        """A hint at the option that is spelt most like an unknown one; empty if none is."""
        options = [option for option in self._option_string_actions if option.startswith("--")]
        name = unknown.split("=")[0].lower().replace("_", "-")
        # Part of a name says more than its letters: --step is --num-steps rather than --stop-early.
        near = [option for option in options if name.strip("-") and name.strip("-") in option]
        near = near or get_close_matches(name, options, n=1)
        return f" (did you mean {near[0]}?)" if near else ""

    def error(self, message: str) -> NoReturn:
        """Exits with status 2, as argparse does."""
        self.exit(2, f"error: {message}\nSee all options: {self.prog} --help\n")
