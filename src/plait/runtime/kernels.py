"""The kernels of the process: each is compiled, kept on disk, and loaded once.

Read first: `load`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from functools import cache as once
from pathlib import Path

from ..program import Code
from ..stopwatch import timed
from . import binding, cache, host, machine, sharing
from .library import Library

_loaded: weakref.WeakValueDictionary[str, Library] = weakref.WeakValueDictionary()


def load(code: Code) -> Library:
    """Return the loaded code of a kernel, the same for all programs that have it."""
    return _load(cache.key(code.text, host.description(), _versions()), code.build)


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
def _versions() -> str:
    """Return what tells one state of the compiler's source from another.

    A number that someone has to raise would be forgotten: the time and size of every
    file of it is taken instead.
    """
    home = Path(__file__).parent.parent / "compile"
    parts = []
    for folder, _, names in os.walk(home):
        for name in names:
            if name.endswith(".py"):
                status = os.stat(os.path.join(folder, name))
                parts.append(f"{folder}/{name} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(sorted(parts))


@once
def own() -> dict[str, int]:
    """Return the addresses of the runtime's own functions."""
    text = sharing.text(host.architecture()) + binding.text() + machine.text()
    name = cache.key(text, host.description())
    data = cache.get(name)
    if data is None:
        data = host.assemble(text)
        cache.put(name, data)
    _own.append(Library(data, ("run", "work", "bind")))
    return _own[0].addresses


_own: list[Library] = []  # loaded as long as the process lives
