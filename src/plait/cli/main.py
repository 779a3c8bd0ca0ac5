"""The command `plait`: finds the subcommand, and turns what goes wrong into a status.

    0    done
    1    failed; the message says why
    2    the arguments make no sense
    130  interrupted with Ctrl-C

Read first: `main`.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import traceback
from collections.abc import Callable, Sequence

import plait

from ..errors import PlaitError
from . import (
    cache,
    doctor,
    export,
    find,
    plan,
    playground,
    predict,
    profile,
    show,
    train,
)
from .console import Failure, new_parser

COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": train.run,
    "predict": predict.run,
    "export": export.run,
    "playground": playground.run,
    "show": show.run,
    "profile": profile.run,
    "plan": plan.run,
    "find": find.run,
    "doctor": doctor.run,
    "cache": cache.run,
}

_DESCRIPTION = """\
Plait trains neural networks.

commands:
  train     train an example such as `mnist`, or run a script of your own
  predict   ask a model that was trained, about pictures or texts
  export    make a web page of a model, or a part of a C program
  playground
            train networks and ask them on pages in the browser
  show      print the graphs and programs that a script's computations become
  profile   run a script, and say which of its kernels takes how long
  plan      say what a graph will need and cost when it is run
  find      say what plait has for a name of another framework
  doctor    check that plait works on this machine, and say what it has found
  cache     say how much compiled code is kept, or remove it
"""
_EPILOG = """\
Start with `plait train mnist`, then `plait predict --test-index 0`.
`plait COMMAND --help` explains a command.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = new_parser("plait", _DESCRIPTION, _EPILOG)
    parser.usage = "plait [--help] [--version] [--traceback] COMMAND [arguments]"
    parser.add_argument(
        "--version", action="version", version=f"plait {plait.__version__}"
    )
    parser.add_argument(
        "--traceback",
        action="store_true",
        help="when something fails, also show where in the source",
    )
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    # The first word that is no option is the command; all after it is the command's.
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    command = COMMANDS.get(options.command)
    if command is None:
        near = difflib.get_close_matches(options.command, COMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        parser.error(f"there is no command {options.command!r}{hint}")
    try:
        return _run(command, options.rest, options.traceback)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has had enough. What Python would
        # still write at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(
    command: Callable[[Sequence[str]], int], arguments: Sequence[str], trace: bool
) -> int:
    try:
        status = command(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        raise
    except (Failure, PlaitError, OSError) as error:
        if trace:
            traceback.print_exc()
        else:
            sys.stdout.flush()
            print(f"plait: error: {_spelled(error)}", file=sys.stderr)
        return 1


def _spelled(error: Exception) -> str:
    if isinstance(error, PlaitError):
        lines = [error.what]
        for label in ("got", "expected", "fix"):
            if text := getattr(error, label):
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
