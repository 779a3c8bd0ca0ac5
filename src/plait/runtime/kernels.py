"""The kernels of the process: each is compiled, kept on disk, and loaded once.

Read first: `load`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from functools import cache as once
from pathlib import Path

from ..program import Code
from ..stopwatch import timed
from . import binding, cache, host, machine, sharing
from .library import Library

# What turns a kernel, as its key tells it, into code.
_MAKERS = ("compile",)

_loaded: weakref.WeakValueDictionary[str, Library] = weakref.WeakValueDictionary()


def load(code: Code) -> Library:
    """Return the loaded code of a kernel, the same for all programs that have it."""
    name = cache.key(code.key, host.description(), versions(*_MAKERS))
    return _load(name, code.build)


def _load(name: str, build: Callable[[], bytes]) -> Library:
    found = _loaded.get(name)
    if found is not None:
        return found
    with timed("load"):
        data = cache.get(name)
    if data is None:
        data = build()
        cache.put(name, data)
    # Two threads may have come this far: what the first one has loaded is used.
    with timed("load"), host.lock:
        found = _loaded.get(name)
        if found is None:
            found = _loaded[name] = Library(data)
    return found


@once
def versions(*rooms: str) -> str:
    """Return what tells one state of plait's source from another.

    A number that someone has to raise would be forgotten: the time and size of every
    file is taken instead.

    Args:
        rooms: folders and files of the package that count.
    """
    home = Path(__file__).parent.parent
    parts = []
    for room in rooms:
        for path in _sources(os.path.join(home, room)):
            status = os.stat(path)
            parts.append(f"{path} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(sorted(parts))


def _sources(room: str) -> Iterator[str]:
    if room.endswith(".py"):
        yield room
    for folder, _, names in os.walk(room):
        for name in names:
            if name.endswith(".py"):
                yield os.path.join(folder, name)


@once
def own() -> dict[str, int]:
    """Return the addresses of the runtime's own functions."""
    text = sharing.text(host.architecture()) + binding.text() + machine.text()
    name = cache.key(text, host.description())
    data = cache.get(name)
    if data is None:
        data = host.assemble(text)
        cache.put(name, data)
    _own.append(Library(data, ("run", "work", "bind", "post", "settle", "assist")))
    return _own[0].addresses


_own: list[Library] = []  # loaded as long as the process lives
