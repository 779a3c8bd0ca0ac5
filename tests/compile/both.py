"""Graphs run in all ways there are: interpreted, compiled, and as Loop IR in Python.

Read first: `check`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from plait.compile.llvm.target import host
from plait.compile.loops import interpret as loops
from plait.compile.loops.grammar import Kernel
from plait.compile.loops.parse import from_text
from plait.compile.loops.verify import verify
from plait.compile.pipeline import compile_graph
from plait.errors import IndexingError
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph, TensorType
from plait.program import (
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
    WrongIndex,
)
from plait.runtime import Runner
from plait.settings import settings
from plait.tensor.compare import compare

# More elements than that take too long in Python.
_SMALL = 400


def kernel_of(code: Code) -> Kernel:
    """Return a kernel in the operations that code is emitted for."""
    return from_text(code.stages["basic"]())


def compiled(graph: Graph) -> Program:
    """Return the program of a graph, whose kernels follow the rules of Loop IR."""
    program = compile_graph(graph, host())
    for code in program.kernels:
        verify(from_text(code.stages["basic"]()))
    return program


def compiled_unproven(graph: Graph) -> tuple[Program, bool]:
    """Return the program of a graph, and whether all indices are proven to be right."""
    program = compile_graph(graph, host())
    proven = True
    for code in program.kernels:
        try:
            verify(from_text(code.stages["basic"]()))
        except IndexingError as error:
            if "not proven" not in str(error):
                raise
            proven = False
    return program, proven


def check(
    graph: Graph,
    arrays: Sequence[Any],
    exact: bool = False,
    threads: Sequence[int] = (1, 2),
    slowly: bool = True,
    expected: Sequence[np.ndarray] | None = None,
    prove: bool = True,
) -> list[np.ndarray]:
    """Run a graph compiled, and assert that it gives what the interpreter gives.

    Args:
        exact: to the last bit, but for which nan it is.
        threads: numbers of threads; the results must have equal bits.
        slowly: also run the kernels in Python, if that does not take long.
        expected: what it should give; by default, what the interpreter says.
        prove: indices must be proven to be right; else, where they are not, the kernels
            run in Python, which looks at each, though it takes longer.
    """
    before = [np.array(x) for x in arrays]
    if expected is None:
        expected = interpret(graph, [np.array(x) for x in arrays])
    program, proven = compiled_unproven(graph)
    if prove and not proven:
        compiled(graph)  # which raises
    results = [run(program, arrays, count) for count in threads]
    for old, new in zip(before, arrays, strict=True):
        same_bits(old, np.asarray(new))  # others hold them, so they must not change
    found = results[0]
    for other in results[1:]:
        for x, y in zip(found, other, strict=True):
            same_bits(x, y)
    agree(graph, before, expected, found, exact)
    if slowly and effort(program) <= (_SMALL if proven else 10 * _SMALL):
        agree(graph, before, expected, run_slowly(program, arrays), exact)
    return found


def run(program: Program, arrays: Sequence[Any], threads: int) -> list[np.ndarray]:
    """Run a program natively."""
    before = settings.num_threads
    settings.num_threads = threads
    try:
        return Runner(program).run(tuple(arrays))
    finally:
        settings.num_threads = before


def agree(
    graph: Graph,
    arrays: Sequence[Any],
    expected: Sequence[Any],
    found: Sequence[Any],
    exact: bool = False,
) -> None:
    """Assert that results are the expected ones."""
    assert len(found) == len(graph.outputs)
    for node, x, y in zip(graph.outputs, expected, found, strict=True):
        assert (
            (x.shape, x.dtype) == (y.shape, y.dtype) == (node.shape, node.dtype.numpy)
        )
        if exact:
            same_numbers(x, y)
    if not exact:
        compare(graph, arrays, expected, found)


def same_bits(x: np.ndarray, y: np.ndarray) -> None:
    """Assert that two arrays are the same, byte for byte."""
    assert (x.shape, x.dtype) == (y.shape, y.dtype)
    if x.tobytes() != y.tobytes():
        raise AssertionError(f"other bits:\n{x}\n{y}")


def same_numbers(x: np.ndarray, y: np.ndarray) -> None:
    """Assert that two arrays are equal to the last bit, but for the kind of nan."""
    if x.dtype.kind not in "biu":
        # NumPy's assertion does not know all nans.
        x, y = x.astype(np.float64), y.astype(np.float64)
        number = ~np.isnan(x)
        np.testing.assert_array_equal(np.signbit(x)[number], np.signbit(y)[number])
    np.testing.assert_array_equal(x, y)


def host_calls(program: Program) -> list[Host]:
    """Return the calls of primitives' references."""
    return [
        one for one in program.instructions if isinstance(one, Host) and one.results
    ]


def effort(program: Program) -> int:
    """Return how many elements kernels have, times how often they are launched."""
    return sum(
        buffer.size
        for one in program.instructions
        if isinstance(one, Launch)
        for buffer in kernel_of(program.kernels[one.kernel]).buffers
    )


def run_slowly(program: Program, arrays: Sequence[Any]) -> list[np.ndarray]:
    """Run a program with Loop IR's interpreter, which checks a lot."""
    return Slow(program, arrays).run()


class Slow:
    """A run in Python. A slot is some memory, and where in it the slot begins."""

    def __init__(self, program: Program, arrays: Sequence[Any]) -> None:
        self.program = program
        self.kernels = [from_text(code.stages["basic"]()) for code in program.kernels]
        types = [*program.inputs, *program.outputs]
        memory = [np.zeros(type.nbytes, np.uint8) for type in types]
        memory += [np.full(program.arena, 0xA5, np.uint8), program.constants.copy()]
        self.slots = [(one, 0) for one in memory]
        self.slots += [(memory[0][:0], 0)] * (program.slots - len(memory))
        self.counts: dict[int, int] = {}
        self.part = 0
        for one, value, type in zip(memory, arrays, program.inputs, strict=False):
            array = np.asarray(value, type.dtype.numpy)
            one[:] = np.frombuffer(array.tobytes(), np.uint8)

    def at(self, place: Place, nbytes: int) -> np.ndarray:
        memory, begin = self.slots[place.slot]
        found = memory[begin + place.offset : begin + place.offset + nbytes]
        assert found.size == nbytes
        return found

    def array_at(self, place: Place, type: TensorType) -> np.ndarray:
        return self.at(place, type.nbytes).view(type.dtype.numpy).reshape(type.shape)

    def go(self, at: int, end: int) -> None:
        while at < end:
            one = self.program.instructions[at]
            jump = self.parts(at, one) if isinstance(one, Parts) else self.step(one)
            at = at + 1 if jump is None else jump

    def parts(self, at: int, one: Parts) -> int:
        slots, counts = self.slots, self.counts
        # Backwards, as the order of parts must not matter.
        for self.part in reversed(range(one.number)):
            self.slots, self.counts = list(slots), dict(counts)
            self.go(at + 1, one.target)
        self.slots, self.counts = slots, counts
        return one.target

    def run(self) -> list[np.ndarray]:
        self.go(0, len(self.program.instructions))
        first = len(self.program.inputs)
        return [
            self.array_at(Place(first + i), type).copy()
            for i, type in enumerate(self.program.outputs)
        ]

    def step(self, one: Instruction) -> int | None:
        """Do one instruction, and return where to go on, if not at the next."""
        slots = self.slots
        if isinstance(one, Launch):
            kernel = self.kernels[one.kernel]
            memory = [
                self.array_at(place, TensorType((buffer.size,), buffer.dtype))
                for place, buffer in zip(one.places, kernel.buffers, strict=True)
            ]
            self.launch(one, kernel, memory)
        elif isinstance(one, Host):
            self.call(one)
        elif isinstance(one, Copy):
            self.at(one.target, one.nbytes)[:] = self.at(one.source, one.nbytes)
        elif isinstance(one, Clear):
            self.at(one.target, one.nbytes)[:] = 0
        elif isinstance(one, SetSlot):
            memory, begin = slots[one.place.slot]
            slots[one.slot] = (memory, begin + one.place.offset)
        elif isinstance(one, Advance):
            slots[one.slot] = (slots[one.slot][0], slots[one.slot][1] + one.nbytes)
        elif isinstance(one, Swap):
            slots[one.first], slots[one.second] = slots[one.second], slots[one.first]
        elif isinstance(one, Shift):
            memory, begin = slots[one.slot]
            slots[one.slot] = (memory, begin + one.nbytes * self.part)
        elif isinstance(one, Count):
            self.counts[one.slot] = one.times
        elif isinstance(one, Repeat):
            self.counts[one.slot] -= 1
            return one.target if self.counts[one.slot] > 0 else None
        elif isinstance(one, Jump):
            return one.target
        elif isinstance(one, Unless):
            return None if self.at(one.place, 1)[0] else one.target
        elif isinstance(one, Alarm):
            if self.at(one.place, 1)[0]:
                raise WrongIndex
        else:
            assert isinstance(one, Settled)
        return None

    def launch(self, one: Launch, kernel: Kernel, memory: list[np.ndarray]) -> None:
        """Run a kernel on the memory of its buffers."""
        # Backwards, as the order of chunks must not matter.
        loops.interpret(kernel, memory, range(kernel.chunks - 1, -1, -1))

    def call(self, one: Host) -> None:
        with np.errstate(all="ignore"):
            values = one.function(*[self.array_at(*x).copy() for x in one.operands])
        values = values if isinstance(values, tuple) else (values,)
        for (place, type), value in zip(one.results, values, strict=True):
            self.array_at(place, type)[...] = value


def numbers(rng: np.random.Generator, shape: Sequence[int], dtype: Any) -> np.ndarray:
    """Return moderate random numbers."""
    if dtype.is_float:
        return np.asarray(rng.uniform(-2, 2, shape)).astype(dtype.numpy)
    size = math.prod(shape)
    return (
        rng.integers(0, 2 if dtype.name == "bool" else 7, size)
        .reshape(shape)
        .astype(dtype.numpy)
    )
