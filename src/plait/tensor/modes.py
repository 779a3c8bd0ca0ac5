"""Switches of recording: derivatives on and off, and running what is recorded.

Read first: `no_grad`, `flush`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from . import record, run, trie


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
