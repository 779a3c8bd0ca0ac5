"""`plait plan`: what a computation will need and cost, without computing it.

Read first: `run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import plait

from .console import Failure, new_parser

_DESCRIPTION = """\
Print how much memory a graph needs when it is run, how many operations and
bytes it takes, and about how long. Nothing is computed.

  plait show my_script.py > graph.txt
  plait plan graph.txt

In a program of your own, `print(plait.plan(function, *arguments))` does it.
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    parser = new_parser("plait plan", _DESCRIPTION)
    parser.add_argument("graph", metavar="FILE", help="a graph that plait has printed")
    options = parser.parse_args(arguments)
    path = Path(options.graph)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Failure(f"{path}: no text of a graph") from None
    print(plait.Traced.from_text(text).plan())
    return 0
