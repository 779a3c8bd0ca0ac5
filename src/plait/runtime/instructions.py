"""The instructions of a program as the machine's table of words.

Read first: `pack`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .. import program as plan
from ..program import Code, Launch, Parts, Place, Program, Work
from . import machine

# What a processor does in a microsecond, on the low side: what takes longer than
# estimated is worth sharing all the more.
_FLOPS, _BYTES = 20_000, 20_000
# Microseconds of work from which a launch is shared, and from which threads are woken
# up for it; or for all launches, if they take that long together.
_WORTH_SHARING, _WORTH_WAKING, _WORTH_WAKING_TOGETHER = 5.0, 30.0, 200.0

_ALIGNMENT = 64


class Step(NamedTuple):
    """What an instruction is, for profiles.

    Attributes:
        name, kind: what it does, and "kernel", "host", "copy" or "clear".
        work: what it costs.
        shared: whether threads share it.
        where: the user's line.
    """

    name: str
    kind: str
    work: Work
    shared: bool = False
    where: str = ""


class Packed(NamedTuple):
    """The table, and what the runner must know of it.

    Attributes:
        words: the instructions.
        hosts: where in it a Python function is to be called.
        alarms: where in it a wrong index ends the run.
        arity: most arguments that a kernel has.
        parallel: whether there is a launch that threads share.
        microseconds: about how long a run takes; infinite if there are jumps.
        steps: where in the table each instruction lies that takes time.
    """

    words: np.ndarray
    hosts: dict[int, plan.Host]
    alarms: set[int]
    arity: int
    parallel: bool
    microseconds: float
    steps: dict[int, Step]


def estimated(code: Code) -> float:
    """Return about how many microseconds one thread takes for all chunks."""
    return code.work.flops / _FLOPS + code.work.nbytes / _BYTES


def pack(program: Program, addresses: Sequence[int]) -> Packed:
    """Return the machine's form of the instructions.

    Args:
        program: it.
        addresses: where each kernel begins.
    """
    turns = turns_of(program)
    together = _together(program, turns)
    sharing = [_sharing(code, together) for code in program.kernels]
    own_words = machine.SLOTS + program.slots  # of a part's frame
    own_bytes = _own_bytes(program)
    words: list[int] = []
    starts: list[int] = []
    targets: list[tuple[int, int]] = []  # word that needs an address, instruction
    hosts: dict[int, plan.Host] = {}
    alarms: set[int] = set()
    steps: dict[int, Step] = {}
    arity, parallel = 0, False
    ends: set[int] = set()  # of parts
    for at, one in enumerate(program.instructions):
        if at in ends:
            words.append(machine.END)
        starts.append(len(words))
        match one:
            case Launch(kernel, places, where):
                code = program.kernels[kernel]
                if code.chunks == 0:
                    continue
                shared = sharing[kernel] != machine.ALONE
                steps[len(words)] = Step(code.name, "kernel", code.work, shared, where)
                head = (machine.LAUNCH, addresses[kernel], code.chunks)
                words += [*head, sharing[kernel], len(places), *_flat(*places)]
                arity = max(arity, len(places))
                parallel = parallel or shared
            case plan.Host():
                hosts[len(words)] = one
                work = _moved(one)
                steps[len(words)] = Step(_name(one), "host", work, where=one.where)
                words += [machine.HOST]
            case plan.Copy(target, source, nbytes):
                steps[len(words)] = Step("copy", "copy", Work(0, 2 * nbytes))
                words += [machine.COPY, *_flat(target, source), nbytes]
            case plan.Clear(target, nbytes):
                steps[len(words)] = Step("clear", "clear", Work(0, nbytes))
                words += [machine.CLEAR, *_flat(target), nbytes]
            case plan.SetSlot(slot, place):
                words += [machine.SET, slot, *_flat(place)]
            case plan.Advance(slot, nbytes):
                words += [machine.ADVANCE, slot, nbytes]
            case plan.Swap(first, second):
                words += [machine.SWAP, first, second]
            case plan.Count(slot, times_):
                words += [machine.COUNTER, slot, times_]
            case plan.Repeat(slot, to):
                targets.append((len(words) + 2, to))
                words += [machine.REPEAT, slot, 0]
            case plan.Jump(to):
                targets.append((len(words) + 1, to))
                words += [machine.JUMP, 0]
            case Parts(count, to, where):
                inside = range(at + 1, to)
                work = _work_of(program, turns, inside)
                share = _shared(count, _microseconds(program, turns, inside), together)
                shared = share != machine.ALONE
                name = _name_of_parts(program, inside)
                steps[len(words)] = Step(name, "kernel", work, shared, where)
                targets.append((len(words) + 3, to))
                words += [machine.PARTS, count, share, 0, own_words, own_bytes]
                ends.add(to)
                arity, parallel = max(arity, 2), parallel or shared
            case plan.Shift(slot, nbytes):
                words += [machine.SHIFT, slot, nbytes]
            case plan.Alarm(place):
                alarms.add(len(words))
                words += [machine.ALARM, *_flat(place)]
            case plan.Settled():
                words += [machine.SETTLED]
            case plan.Unless(place, to):
                targets.append((len(words) + 3, to))
                words += [machine.UNLESS, *_flat(place), 0]
    if len(program.instructions) in ends:
        words.append(machine.END)
    starts.append(len(words))
    words.append(machine.END)
    for at, to in targets:
        words[at] = starts[to]
    jumps = any(words[at] < at for at, _ in targets)
    estimate = float("inf") if jumps else together
    table = np.array(words, np.int64)
    return Packed(table, hosts, alarms, arity, parallel, estimate, steps)


def _name(one: plan.Host) -> str:
    function = getattr(one.function, "func", one.function)
    return str(getattr(function, "__name__", "host")).strip("_")


def _moved(one: plan.Host) -> Work:
    return Work(0, sum(type.nbytes for _, type in (*one.operands, *one.results)))


def scratch_bytes(program: Program) -> int:
    """Return how much memory a thread needs for itself."""
    most = max([code.scratch for code in program.kernels], default=0)
    return most + (_own_bytes(program) if _has_parts(program) else 0)


def _has_parts(program: Program) -> bool:
    return any(isinstance(x, Parts) for x in program.instructions)


def _own_bytes(program: Program) -> int:
    """Return how long a part's frame is, with arguments; kernels' memory follows."""
    launches = [x for x in program.instructions if isinstance(x, Launch)]
    arity = max([len(x.places) for x in launches], default=0)
    return _aligned(8 * (machine.SLOTS + program.slots + arity))


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def _together(program: Program, turns: Sequence[int]) -> float:
    """Return about how many microseconds all launches take."""
    return _microseconds(program, turns, range(len(program.instructions)))


def _microseconds(program: Program, turns: Sequence[int], which: range) -> float:
    """Return about how many microseconds the launches of some instructions take."""
    return sum(turns[i] * estimated(code) for i, code in _launched(program, which))


def _work_of(program: Program, turns: Sequence[int], which: range) -> Work:
    """Return what the launches of some instructions cost."""
    found = [(turns[i], code.work) for i, code in _launched(program, which)]
    flops = sum(n * work.flops for n, work in found)
    return Work(flops, sum(n * work.nbytes for n, work in found))


def _launched(program: Program, which: range) -> Iterator[tuple[int, Code]]:
    for i in which:
        one = program.instructions[i]
        if isinstance(one, Launch):
            yield i, program.kernels[one.kernel]


def _name_of_parts(program: Program, which: range) -> str:
    """Return a name for parts: that of the first kernel which they run."""
    first = next(_launched(program, which), None)
    return "parts" if first is None else f"{first[1].name}_and_others"


def turns_of(program: Program) -> list[int]:
    """Return how often each instruction runs; a loop of unknown turns counts once."""
    counts: dict[int, int] = {}
    turns = [1] * len(program.instructions)
    for at, one in enumerate(program.instructions):
        if isinstance(one, plan.Count):
            counts[one.slot] = one.times
        elif isinstance(one, plan.Repeat):
            for inside in range(one.target, at):
                turns[inside] *= counts.get(one.slot, 1)
        elif isinstance(one, Parts):
            for inside in range(at + 1, one.target):
                turns[inside] *= one.number
    return turns


def is_shared(program: Program, code: Code) -> bool:
    """Return whether threads share the launches of a kernel, if there are several."""
    return _sharing(code, _together(program, turns_of(program))) != machine.ALONE


def _sharing(code: Code, together: float) -> int:
    return _shared(code.chunks, estimated(code), together)


def _shared(chunks: int, time: float, together: float) -> int:
    """Return whether chunks are shared, and threads woken up for them.

    Args:
        time, together: microseconds for all chunks, and for the whole program.
    """
    if chunks <= 1 or time < _WORTH_SHARING:
        return machine.ALONE
    if time < _WORTH_WAKING and together < _WORTH_WAKING_TOGETHER:
        return machine.SHARED
    return machine.WAKE


def _flat(*places: Place) -> list[int]:
    return [word for place in places for word in place]
