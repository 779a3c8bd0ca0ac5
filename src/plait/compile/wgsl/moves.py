"""Copies and clearings as kernels, and tables as constants.

WebGPU copies from one buffer to another only, in words, and here all memory is one
buffer. So these instructions become launches like any others.

Read first: `moved`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...dtypes import DType, bool_, uint8, uint32
from ...program import (
    Advance,
    Clear,
    Code,
    Copy,
    Instruction,
    Launch,
    Place,
    Program,
    SetSlot,
    Shift,
)
from ..loops.grammar import (
    UNROLL,
    Buffer,
    Constant,
    Expression,
    For,
    Kernel,
    Load,
    Operation,
    Store,
    Variable,
    Vector,
)

_LANES, _EACH = 64, 4
_PAIR = 8


def moved(program: Program, coded: Callable[[Kernel], Code]) -> Program:
    """Return a program whose copies and clearings are launches.

    Args:
        coded: makes a kernel's code.
    """
    kernels = list(program.kernels)
    numbers: dict[tuple[int, bool], int] = {}
    whole = all(map(_in_words, program.instructions))

    def launch(nbytes: int, places: tuple[Place, ...]) -> Launch:
        key = (nbytes, len(places) > 1)
        if key not in numbers:
            numbers[key] = len(kernels)
            in_words = whole and nbytes % 4 == 0
            dtype = uint32 if in_words else uint8
            kernels.append(coded(_kernel(nbytes // dtype.itemsize, dtype, key[1])))
        return Launch(numbers[key], places)

    instructions: list[Instruction] = []
    for one in program.instructions:
        if isinstance(one, Copy):
            instructions.append(launch(one.nbytes, (one.target, one.source)))
        elif isinstance(one, Clear):
            instructions.append(launch(one.nbytes, (one.target,)))
        else:
            instructions.append(one)
    return replace(program, kernels=kernels, instructions=instructions)


def with_tables(program: Program) -> Program:
    """Return a program with the tables of its kernels among its constants."""
    if not any(code.table for code in program.kernels):
        return program
    constants = program.constants.tobytes()
    places: dict[int, Place] = {}
    for number, code in enumerate(program.kernels):
        if code.table:
            constants = constants.ljust(-(-len(constants) // _PAIR) * _PAIR, b"\0")
            places[number] = Place(program.constants_slot, len(constants))
            constants += code.table
    instructions: list[Instruction] = []
    for one in program.instructions:
        if isinstance(one, Launch) and one.kernel in places:
            one = one._replace(places=(*one.places, places[one.kernel]))
        instructions.append(one)
    return replace(
        program,
        constants=np.frombuffer(constants, np.uint8),
        instructions=instructions,
    )


def copy_kernel(nbytes: int) -> Kernel:
    """Return what copies memory that begins and ends at whole words, or bytes."""
    if nbytes % 4:
        return _kernel(nbytes, uint8, True)
    return _kernel(nbytes // 4, uint32, True)


def _in_words(one: Instruction) -> bool:
    """Return whether an instruction keeps what is copied at whole words."""
    if isinstance(one, Copy):
        return (one.target.offset | one.source.offset) % 4 == 0
    if isinstance(one, Clear):
        return one.target.offset % 4 == 0
    if isinstance(one, SetSlot):
        return one.place.offset % 4 == 0
    return not isinstance(one, Advance | Shift) or one.nbytes % 4 == 0


def _kernel(size: int, dtype: DType, copies: bool) -> Kernel:
    """Return what sets `size` elements, to those of another buffer or to zero."""
    target = Buffer("target", dtype, size, "out")
    source = Buffer("source", dtype, size, "in")
    lane, step = Variable("lane"), Variable("step")
    place = (Kernel.CHUNK * _EACH + step) * _LANES + lane
    inside = Operation("less", (place, Constant(size, place.dtype)), bool_)
    zero = Constant(0, dtype)
    value: Expression = Load(source, place, inside, zero) if copies else zero
    store = Store(target, place, value, inside)
    body = For(step, _EACH, [Vector(lane, _LANES, _LANES, [store])], UNROLL)
    buffers = [target, source] if copies else [target]
    chunks = -(-size // (_LANES * _EACH))
    name = f"{'copy' if copies else 'clear'}_{size}"
    return Kernel(name, buffers, [body], chunks)
