"""A program that is held to a limit of memory.

Read first: `fitted`.
"""

from __future__ import annotations

from collections.abc import Callable

from ...program import Program

# A plan is tried as often: what a program takes is known only once it is planned, with
# the gaps between values, and copies of matrices that values are multiplied with.
_TRIES = 5
# The second one has at least that part of the limit less room than the first one, and
# others more.
_PART = 50

Plan = Callable[[int | None], tuple[Program, int]]


def fitted(plan: Plan, limit: int) -> Program:
    """Return a program that takes at most `limit` bytes besides its inputs.

    If there is none, return the one that takes least of those found.

    Args:
        plan: returns the program that has so much room for its values in the arena,
            and how much they take; None is as much as they like.
    """
    program, held = plan(None)
    best = program
    room = limit - (program.taken - held)
    for attempt in range(1, _TRIES + 1):
        if best.taken <= limit:
            return best
        program, _ = plan(max(room, 0))
        if program.taken < best.taken:
            best = program
        room -= max(program.taken - limit, attempt * limit // _PART)
        if room <= 0:
            break
    return best
