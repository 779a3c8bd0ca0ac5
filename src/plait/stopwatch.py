"""How long the passes of a compilation take.

Passes are entered and left by one thread; a pass inside another one counts for itself
alone. Nothing is printed here.

Read first: `timed`, `taken`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class _Times(threading.local):
    """What a thread has spent since `taken` was called last."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.inner: list[float] = []  # of each open pass, seconds of passes inside


_times = _Times()


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Count the time inside a `with` block for the pass `name`."""
    times = _times
    times.inner.append(0.0)
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - start
        inner = times.inner.pop()
        times.spent[name] = times.spent.get(name, 0.0) + seconds - inner
        if times.inner:
            times.inner[-1] += seconds


def taken() -> dict[str, float]:
    """Return seconds for each pass that this thread has run, and begin again."""
    spent, _times.spent = _times.spent, {}
    return spent
