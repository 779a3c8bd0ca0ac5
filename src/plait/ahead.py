"""The program that may still run while Python goes on: one at most.

The runtime lets the update at the end of a training step run on another thread while
Python records the next step. Whoever looks at memory that such a program may write, or
runs another one, calls `finish` first.

Read first: `finish`.
"""

from __future__ import annotations

from collections.abc import Callable


class _Ahead:
    """Holds what waits for the program that runs, or None."""

    __slots__ = ("wait",)

    def __init__(self) -> None:
        self.wait: Callable[[], None] | None = None


ahead = _Ahead()


def finish() -> None:
    """Return when no program runs any more."""
    wait = ahead.wait
    if wait is not None:
        wait()
