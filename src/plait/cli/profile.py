"""`plait profile`: runs a script and says what its programs took how long for.

Read first: `run`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import plait

from .console import new_parser, positive
from .train import JOBS, run_script

_DESCRIPTION = """\
Run a script, and print a table of its kernels: how often each was run, how long
it took, and what share of what this machine can do it has reached.

  plait profile my_script.py --lr 0.1     a Python file, with its own arguments
  plait profile --by line my_script.py    a row for each line and layer of it
  plait profile mnist --epochs 1          an example of `plait train`
  plait profile --trace out.json my.py    also a file for chrome://tracing, or
                                          https://ui.perfetto.dev

In a program of your own, `with plait.profile() as p:` does it for a part.
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    parser = new_parser("plait profile", _DESCRIPTION)
    parser.usage = "plait profile [--help] [options] SCRIPT [arguments]"
    add = parser.add_argument
    add("--trace", metavar="FILE", help="write a file for trace viewers")
    add("--by", choices=["kernel", "line"], default="kernel",
        help="what a row of the table is for: a kernel, or a line of yours and a "
        "layer")  # fmt: skip
    add("--lines", type=positive, default=30, metavar="N", help="length of the table")
    add("script", metavar="SCRIPT", help="a Python file, or an example")
    add("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    with plait.profile() as profile:
        job = JOBS.get(options.script)
        if job is not None:
            status = job(options.rest)
        else:
            status = run_script(Path(options.script), options.rest)
    print(profile.table(options.lines, options.by))
    if options.trace:
        profile.save(options.trace)
        print(f"written to {options.trace}: {len(profile.events)} events")
    return status
