"""`plait find`: what plait has for a name of another framework, or of its own.

Read first: `run`.
"""

from __future__ import annotations

import difflib
import inspect
import textwrap
from collections.abc import Sequence
from typing import Any

from ..names import FRAMEWORKS, ROOMS, entries, find, found_at, modules, public, spell
from .console import WIDTH, Failure, new_parser

_DESCRIPTION = """\
Say what plait has for a name that you know from another framework, such as
Dense, clamp or adamw, or what a name of plait's own stands for. Capital letters
do not matter.
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    parser = new_parser("plait find", _DESCRIPTION)
    parser.add_argument("name", metavar="NAME", help="such as Dense or nn.Conv2d")
    options = parser.parse_args(arguments)
    own = _own(options.name)
    for path, value in own:
        print(_filled(path + _signature(value)))
        print(textwrap.indent(textwrap.fill(_summary(value), WIDTH - 4), "    "))
    others = [e for e in find(options.name) if e.path not in dict(own)]
    for entry in others:
        print(_filled(spell(entry)))
    if own or others:
        return 0
    rooms = modules(options.name.rpartition(".")[2])
    for room, theirs in rooms.items():
        print(_filled(f"{theirs} is {room} here"))
    if not rooms:
        raise Failure(f"there is no {options.name!r}{_near(options.name)}")
    return 0


def _own(name: str) -> list[tuple[str, Any]]:
    wanted = name.rpartition(".")[2].lower()
    found = [
        (path, found_at(path))
        for room in ROOMS
        for path in (f"{room}.{key}" for key in public(found_at(room)))
        if path.rpartition(".")[2].lower() == wanted
    ]
    return [(path, value) for path, value in found if not inspect.ismodule(value)]


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="    ")


def _signature(value: Any) -> str:
    try:
        given = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    names = [
        f"{p.name}={p.default!r}" if isinstance(p.default, bool | int | float | str)
        else p.name
        for p in given.parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]  # fmt: skip
    return f"({', '.join(names)})" if callable(value) else ""


def _summary(value: Any) -> str:
    text = inspect.getdoc(value) or "no description"
    return " ".join(text.split("\n\n")[0].split())


def _near(name: str) -> str:
    wanted = name.rpartition(".")[2]
    known = {key for room in ROOMS for key in public(found_at(room))}
    known |= {entry.name for framework in FRAMEWORKS for entry in entries(framework)}
    near = difflib.get_close_matches(wanted, sorted(known), 1, 0.82)
    return f"; did you mean {near[0]!r}?" if near else ""
