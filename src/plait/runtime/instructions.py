"""The instructions of a program as the machine's table of words.

Read first: `pack`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import program as plan
from .. import worth
from ..program import Code, Launch, Parts, Place, Program, Work
from . import machine

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


def pack(program: Program, addresses: Sequence[int]) -> Packed:
    """Return the machine's form of the instructions.

    Args:
        program: it.
        addresses: where each kernel begins.
    """
    turns = worth.turns_of(program)
    together = worth.together(program, turns)
    sharing = [worth.sharing_of(code, together) for code in program.kernels]
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
                shared = sharing[kernel] != worth.ALONE
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
                work = worth.work_of(program, turns, inside)
                time = worth.microseconds(program, turns, inside)
                share = worth.sharing(count, time, together)
                shared = share != worth.ALONE
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


def _name_of_parts(program: Program, which: range) -> str:
    """Return a name for parts: that of the first kernel which they run."""
    first = next(worth.launched(program, which), None)
    return "parts" if first is None else f"{first[1].name}_and_others"


def is_shared(program: Program, code: Code) -> bool:
    """Return whether threads share the launches of a kernel, if there are several."""
    together = worth.together(program, worth.turns_of(program))
    return worth.sharing_of(code, together) != worth.ALONE


def _flat(*places: Place) -> list[int]:
    return [word for place in places for word in place]
