"""`plait find`: what plait has for a name of another framework, or of its own.

Read first: `run`.
"""

from __future__ import annotations

import difflib
import inspect
import textwrap
from collections.abc import Sequence
from typing import Any

import plait

from ..names import FRAMEWORKS, entries, find
from .console import WIDTH, Failure, new_parser

_DESCRIPTION = """\
Say what plait has for a name that you know from another framework, such as Dense,
clamp or adamw, or what a name of plait's own stands for. Capital letters do not
matter.
"""

# Where plait keeps what users call by name.
ROOMS = (
    *("plait", "plait.nn", "plait.nn.init", "plait.optim", "plait.distributions"),
    *("plait.metrics", "plait.models", "plait.data", "plait.train", "plait.random"),
    "plait.linalg",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    parser = new_parser("plait find", _DESCRIPTION)
    parser.add_argument("name", metavar="NAME", help="such as Dense or nn.Conv2d")
    options = parser.parse_args(arguments)
    own = _own(options.name)
    for path, value in own:
        print(path + _signature(value))
        print(f"    {_summary(value)}")
    others = [e for e in find(options.name) if e.path not in dict(own)]
    for entry in others:
        theirs = f"{FRAMEWORKS[entry.framework]}: {entry.module}.{entry.name}"
        text = f"{theirs} is {entry.path}" if entry.path else f"{theirs} is left out"
        if entry.remark:
            text += f": {entry.remark}"
        print(textwrap.fill(text, WIDTH, subsequent_indent="    "))
    if not own and not others:
        raise Failure(f"there is no {options.name!r}{_near(options.name)}")
    return 0


def _own(name: str) -> list[tuple[str, Any]]:
    wanted = name.rpartition(".")[2].lower()
    found: list[tuple[str, Any]] = []
    for path in ROOMS:
        room = _room(path)
        for key in _names(room):
            if key.lower() == wanted and not key.startswith("_"):
                value = getattr(room, key)
                if not inspect.ismodule(value):
                    found.append((f"{path}.{key}", value))
    return found


def _names(room: Any) -> list[str]:
    return list(getattr(room, "__all__", None) or vars(room))


def _room(path: str) -> Any:
    room: Any = plait
    for part in path.split(".")[1:]:
        room = getattr(room, part)
    return room


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
    known = {key for path in ROOMS for key in _names(_room(path))}
    known |= {entry.name for framework in FRAMEWORKS for entry in entries(framework)}
    near = difflib.get_close_matches(wanted, sorted(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""
