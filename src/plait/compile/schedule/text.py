"""Programs as text, for people: which kernel runs when, on what memory, at what cost.

    program: 2 inputs, 1 output, 2 kernels, 3 instructions
    memory: arena 512 bytes, constants 64 bytes, scratch 0 bytes
      i0  float32[4, 8]
      o0  float32[4, 8]  in place of i0
    0  dot_4x8  net.py:7
       kernel 0: 1 chunk, 512 flops, 384 bytes; in i0+0 float32[32];
       in i1+0 float32[64]; out a+0 float32[32]

A place is the memory where it lies and an offset in bytes: `i` inputs, `o` outputs,
`a` the arena, `c` constants, `l` what lasts from run to run, `s` slots that
instructions set.

Read first: `to_text`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ...ir.graph import TensorType
from ...program import (
    Advance,
    Alarm,
    Clear,
    Code,
    Copy,
    Count,
    Host,
    Instruction,
    Jump,
    Launch,
    Parts,
    Place,
    Program,
    Repeat,
    SetSlot,
    Settled,
    Shift,
    Swap,
    Unless,
)

_WIDTH = 88


def to_text(program: Program) -> str:
    """Return the instructions of a program, with their memory and what they cost."""
    return "\n".join(_lines(program)) + "\n"


def _lines(program: Program) -> Iterator[str]:
    yield (
        f"program: {_many(len(program.inputs), 'input')}, "
        f"{_many(len(program.outputs), 'output')}, "
        f"{_many(len(program.kernels), 'kernel')}, "
        f"{_many(len(program.instructions), 'instruction')}"
    )
    scratch = max((code.scratch for code in program.kernels), default=0)
    yield (
        f"memory: arena {program.arena:,} bytes, constants "
        f"{program.constants.nbytes:,} bytes, scratch {scratch:,} bytes a thread"
        + (f", lasting {program.lasting:,} bytes" if program.lasting else "")
    )
    for i, type in enumerate(program.inputs):
        yield f"  i{i:<3} {type!r}"
    given = {output: i for i, output in program.donations.items()}
    for i, type in enumerate(program.outputs):
        over = f"  in place of i{given[i]}" if i in given else ""
        yield f"  o{i:<3} {type!r}{over}"
    width = len(str(len(program.instructions)))
    indent = " " * (width + 2)
    for at, one in enumerate(program.instructions):
        head, details = _described(program, one)
        yield f"{at:>{width}}  {head}"
        yield from _wrapped(indent, [f"{x};" for x in details[:-1]] + details[-1:])


def _wrapped(indent: str, parts: list[str]) -> Iterator[str]:
    """Yield lines of `parts`, broken between them."""
    line = indent
    for part in parts:
        if line != indent and len(line) + len(part) > _WIDTH:
            yield line.rstrip()
            line = indent
        line += f"{part} "
    if line != indent:
        yield line.rstrip()


def _described(program: Program, one: Instruction) -> tuple[str, list[str]]:
    def place(at: Place) -> str:
        return place_name(program, at)

    match one:
        case Launch():
            return _launched(program, one)
        case Host():
            name = getattr(one.function, "func", one.function).__name__.strip("_")
            operands = [f"in {_held(program, at, t)}" for at, t in one.operands]
            results = [f"out {_held(program, at, t)}" for at, t in one.results]
            return f"host call of {name}{_line(one.where)}", operands + results
        case Copy(target, source, nbytes):
            return f"copy {place(source)} to {place(target)}, {nbytes:,} bytes", []
        case Clear(target, nbytes):
            return f"clear {place(target)}, {nbytes:,} bytes", []
        case SetSlot(slot, to):
            return f"set {_slot(program, slot)} to {place(to)}", []
        case Advance(slot, nbytes):
            return f"advance {_slot(program, slot)} by {nbytes:,} bytes", []
        case Swap(first, second):
            return f"swap {_slot(program, first)} and {_slot(program, second)}", []
        case Count(slot, times):
            return f"count {_slot(program, slot)} from {times}", []
        case Repeat(slot, target):
            return f"repeat from {target} until {_slot(program, slot)} is 0", []
        case Jump(target):
            return f"jump to {target}", []
        case Unless(at, target):
            return f"unless {place(at)} jump to {target}", []
        case Parts(count, target, where):
            return f"{count} parts of what comes before {target}{_line(where)}", []
        case Shift(slot, nbytes):
            name = _slot(program, slot)
            return f"advance {name} by {nbytes:,} bytes for each part before", []
        case Alarm(at):
            return f"stop if {place(at)} tells of a wrong index", []
        case Settled():
            return "settled: nothing can go wrong any more", []


def _launched(program: Program, one: Launch) -> tuple[str, list[str]]:
    code = program.kernels[one.kernel]
    cost = (
        f"kernel {one.kernel}: {_many(code.chunks, 'chunk')}, "
        f"{code.work.flops:,} flops, {code.work.nbytes:,} bytes"
    )
    uses = [_used(program, code, i, at) for i, at in enumerate(one.places)]
    return f"{code.name}{_line(one.where)}", [cost, *uses]


def _used(program: Program, code: Code, i: int, at: Place) -> str:
    if i >= len(code.uses):
        return place_name(program, at)
    use = code.uses[i]
    return f"{use.access} {place_name(program, at)} {use.dtype}[{use.size}]"


def _held(program: Program, at: Place, type: TensorType) -> str:
    return f"{place_name(program, at)} {type!r}"


def place_name(program: Program, place: Place) -> str:
    """Return where a place lies, in the words of the schedule."""
    return f"{_slot(program, place.slot)}+{place.offset}"


def _slot(program: Program, slot: int) -> str:
    inputs = len(program.inputs)
    if slot < inputs:
        return f"i{slot}"
    if slot < program.arena_slot:
        return f"o{slot - inputs}"
    if slot == program.arena_slot:
        return "a"
    if slot == program.lasting_slot:
        return "l"
    return "c" if slot == program.constants_slot else f"s{slot}"


def _line(where: str) -> str:
    return f"  {os.path.basename(where)}" if where else ""


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
