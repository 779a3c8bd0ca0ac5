"""What all commands share: how arguments are described, and how a command gives up.

Read first: `Failure`, `new_parser`.
"""

from __future__ import annotations

import argparse
import math
from typing import NoReturn

WIDTH = 80


class Failure(Exception):
    """A command cannot go on; the message is for whoever typed it."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors say where help is to be had."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong with the arguments, and leave with status 2."""
        text = f"{self.prog}: error: {message}\nSee `{self.prog} --help`.\n"
        self.exit(2, text)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help in 80 columns, whatever the terminal, with defaults where there are any."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=WIDTH)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text, default = action.help, action.default
        if isinstance(default, list):
            default = " ".join(map(str, default))
        if text is None or default in ("", argparse.SUPPRESS) or default is None:
            return text
        if default is False or "(default" in text or not action.option_strings:
            return text
        return f"{text} (default: {default})"


def new_parser(
    prog: str, description: str, epilog: str = "", *, add_help: bool = True
) -> Parser:
    """Return a parser for the arguments of a command."""
    return Parser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=add_help,
    )


def positive(text: str) -> int:
    """Read an integer of at least 1 from an argument."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


positive.__name__ = "positive integer"  # argparse names the type in its messages


def natural(text: str) -> int:
    """Read an integer of at least 0 from an argument."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


natural.__name__ = "non-negative integer"


def amount(text: str) -> float:
    """Read a number of at least 0, that is not infinite, from an argument."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(text)
    return number


amount.__name__ = "non-negative number"
