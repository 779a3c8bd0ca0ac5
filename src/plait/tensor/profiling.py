"""Opens and closes profiles.

Read first: `profile`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from ..errors import ArgumentError
from ..late import late
from . import profile as record
from .modes import flush
from .profile import Profile

if TYPE_CHECKING:
    from .. import runtime
    from ..runtime import timeline
    from . import limits
else:
    runtime = late("plait.runtime")
    timeline = late("plait.runtime.timeline")
    limits = late("plait.tensor.limits")


def profile() -> AbstractContextManager[Profile]:
    """Take down what programs spend their time with inside a `with` block.

    Kernels are timed natively, one by one, which slows a run down by some 50 ns for
    each. What was recorded before is run before, and what is recorded inside is run at
    the end of the block at the latest.

    Returns:
        What gives a `Profile` to the block. It has `table()`, and `save(path)` for
        trace viewers.

    Raises:
        ArgumentError: a profile is open already.

    Example:
        >>> import plait
        >>> with plait.profile() as p:
        ...     y = (plait.ones(100, 100) @ plait.ones(100, 100)).sum().item()
        >>> print(p.table())  # doctest: +SKIP
    """
    if record.watching is not None:
        raise ArgumentError("[profile] a profile is open already", fix="close it first")
    return _opened()


@contextmanager
def _opened() -> Iterator[Profile]:
    if not runtime.unavailable():
        # What is made once must not be part of it.
        timeline.run_timed()
        limits.limits(False)
        limits.limits()
    flush()
    found = Profile()
    found.begin = time.perf_counter_ns()
    record.watching = found
    try:
        yield found
        flush()
    finally:
        record.watching = None
        found.end = time.perf_counter_ns()
