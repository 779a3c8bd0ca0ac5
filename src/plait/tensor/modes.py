"""Switches: derivatives on and off, running what is recorded, and on how many threads.

Read first: `no_grad`, `flush`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ..late import late
from . import record, run, trie

if TYPE_CHECKING:
    from ..runtime import pool
else:
    pool = late("plait.runtime.pool")


def no_grad() -> AbstractContextManager[None]:
    """Record without derivatives, in a `with` block or as a decorator `@no_grad()`."""
    return record.grad_mode(False)


def enable_grad() -> AbstractContextManager[None]:
    """Record with derivatives again, inside a `no_grad` block."""
    return record.grad_mode(True)


def is_grad_enabled() -> bool:
    """Return whether what is recorded now is differentiable."""
    return trie.recorder.grad_enabled


def flush() -> None:
    """Run what this thread has recorded, so that every living tensor has its value.

    Looking at a value does this by itself. Call it to end a step at a place of your
    own, as optimizers do after an update.
    """
    trace = trie.recorder.trace
    if trace.function is None:
        run.flush(trace)


def get_num_threads() -> int:
    """Return how many threads run a program: those of `set_num_threads`, else of
    the setting `PLAIT_NUM_THREADS`, else one for each processor.
    """
    return pool.get_num_threads()


def set_num_threads(count: int) -> None:
    """Set how many threads run a program. Results do not depend on it, to the bit.

    Raises:
        ArgumentError: `count` is not an integer of at least 1.
    """
    pool.set_num_threads(count)
