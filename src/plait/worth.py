"""What the launches of a program cost, and which of them are worth sharing.

Read first: `sharing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .program import Code, Count, Launch, Parts, Program, Repeat, Work

# What a processor does in a microsecond, on the low side: what takes longer than
# estimated is worth sharing all the more.
_FLOPS, _BYTES = 20_000, 20_000
# Microseconds of work from which a launch is shared, and from which threads are woken
# up for it; or for all launches, if they take that long together.
_WORTH_SHARING, _WORTH_WAKING, _WORTH_WAKING_TOGETHER = 5.0, 30.0, 200.0

# Of a launch: run it here; share it with threads that are awake; wake the others too.
ALONE, SHARED, WAKE = 0, 1, 2


def estimated(code: Code) -> float:
    """Return about how many microseconds one thread takes for all chunks."""
    return code.work.flops / _FLOPS + code.work.nbytes / _BYTES


def sharing(chunks: int, time: float, together: float) -> int:
    """Return whether chunks are shared, and threads woken up for them.

    Args:
        chunks: how many there are.
        time, together: microseconds for all chunks, and for the whole program.

    Returns:
        `ALONE`, `SHARED` or `WAKE`.
    """
    if chunks <= 1 or time < _WORTH_SHARING:
        return ALONE
    if time < _WORTH_WAKING and together < _WORTH_WAKING_TOGETHER:
        return SHARED
    return WAKE


def sharing_of(code: Code, together: float) -> int:
    """Return the same for the chunks of a kernel."""
    return sharing(code.chunks, estimated(code), together)


def together(program: Program, turns: Sequence[int]) -> float:
    """Return about how many microseconds all launches take.

    Args:
        turns: how often each instruction runs, see `turns_of`.
    """
    return microseconds(program, turns, range(len(program.instructions)))


def microseconds(program: Program, turns: Sequence[int], which: range) -> float:
    """Return about how many microseconds the launches of some instructions take."""
    return sum(turns[i] * estimated(code) for i, code in launched(program, which))


def work_of(program: Program, turns: Sequence[int], which: range) -> Work:
    """Return what the launches of some instructions cost."""
    found = [(turns[i], code.work) for i, code in launched(program, which)]
    flops = sum(n * work.flops for n, work in found)
    return Work(flops, sum(n * work.nbytes for n, work in found))


def launched(program: Program, which: range) -> Iterator[tuple[int, Code]]:
    """Yield the launches among some instructions, and the kernel of each."""
    for i in which:
        one = program.instructions[i]
        if isinstance(one, Launch):
            yield i, program.kernels[one.kernel]


def turns_of(program: Program) -> list[int]:
    """Return how often each instruction runs; a loop of unknown turns counts once."""
    counts: dict[int, int] = {}
    turns = [1] * len(program.instructions)
    for at, one in enumerate(program.instructions):
        if isinstance(one, Count):
            counts[one.slot] = one.times
        elif isinstance(one, Repeat):
            for inside in range(one.target, at):
                turns[inside] *= counts.get(one.slot, 1)
        elif isinstance(one, Parts):
            for inside in range(at + 1, one.target):
                turns[inside] *= one.number
    return turns
