"""Programs as text: every instruction says what it does, and on what memory."""

import numpy as np
import pytest

from plait.compile.listing import STAGES, listing
from plait.compile.schedule.text import to_text
from plait.dtypes import float32
from plait.errors import ArgumentError
from plait.ir.graph import TensorType
from plait.program import (
    Advance,
    Clear,
    Code,
    Copy,
    Count,
    Host,
    Jump,
    Launch,
    Parts,
    Place,
    Program,
    Repeat,
    SetSlot,
    Shift,
    Swap,
    Unless,
    Use,
    Work,
)

TYPE = TensorType((4, 8), float32)


def halve(x):
    return x / 2


def code(name, stage="text"):
    uses = [Use("in", "float32", 32), Use("out", "float32", 32)]
    stages = {key: lambda key=key: f"{name} as {key}" for key in STAGES[1:]}
    return Code(name, "", 3, 128, Work(5_000, 256), bytes, uses, stages)


@pytest.fixture
def program():
    host = Host(halve, ((Place(2, 64), TYPE),), ((Place(1), TYPE),), "/home/net.py:9")
    instructions = [
        Clear(Place(2), 128),
        Launch(0, (Place(0), Place(2, 64)), "/home/net.py:7"),
        host,
        Copy(Place(1), Place(3, 64), 128),
        SetSlot(4, Place(2, 64)),
        Count(5, 10),
        Advance(4, -4096),
        Swap(4, 5),
        Unless(Place(2), 10),
        Repeat(5, 6),
        Jump(0),
        Launch(1, (Place(4), Place(1))),
        Parts(3, 14, "/home/net.py:8"),
        Shift(4, 64),
    ]
    kernels = [code("dot_4x8"), code("add_4x8")]
    return Program(
        [TYPE], [TYPE], kernels, instructions, 4096, np.zeros(64, np.uint8), 6, {0: 0}
    )


def test_every_instruction(program):
    assert to_text(program).splitlines() == [
        "program: 1 input, 1 output, 2 kernels, 14 instructions",
        "memory: arena 4,096 bytes, constants 64 bytes, scratch 128 bytes a thread",
        "  i0   float32[4, 8]",
        "  o0   float32[4, 8]  in place of i0",
        " 0  clear a+0, 128 bytes",
        " 1  dot_4x8  net.py:7",
        "    kernel 0: 3 chunks, 5,000 flops, 256 bytes; in i0+0 float32[32];",
        "    out a+64 float32[32]",
        " 2  host call of halve  net.py:9",
        "    in a+64 float32[4, 8]; out o0+0 float32[4, 8]",
        " 3  copy c+64 to o0+0, 128 bytes",
        " 4  set s4 to a+64",
        " 5  count s5 from 10",
        " 6  advance s4 by -4,096 bytes",
        " 7  swap s4 and s5",
        " 8  unless a+0 jump to 10",
        " 9  repeat from 6 until s5 is 0",
        "10  jump to 0",
        "11  add_4x8",
        "    kernel 1: 3 chunks, 5,000 flops, 256 bytes; in s4+0 float32[32];",
        "    out o0+0 float32[32]",
        "12  3 parts of what comes before 14  net.py:8",
        "13  advance s4 by 64 bytes for each part before",
    ]


def test_kernels_have_a_head(program):
    assert listing(program, "loops") == (
        "# kernel 0: dot_4x8\ndot_4x8 as loops\n\n"
        "# kernel 1: add_4x8\nadd_4x8 as loops\n"
    )
    assert listing(program, "llvm", 1) == "; kernel 1: add_4x8\nadd_4x8 as llvm\n"
    assert listing(program, "schedule", 1) == to_text(program)


def test_what_is_not_there(program):
    with pytest.raises(ArgumentError, match="from 0 to 1"):
        listing(program, "assembly", 2)
    with pytest.raises(ArgumentError, match="no such stage"):
        listing(program, "graph")
    empty = Program([TYPE], [TYPE], [], [], 0, np.zeros(0, np.uint8), 4)
    with pytest.raises(ArgumentError, match="no kernel at all"):
        listing(empty, "loops", 0)
    assert listing(empty, "loops") == ""
