"""A compiled program as plain data: memory, kernels, and instructions in order.

The compiler makes it, the runtime runs it, and neither knows the other.

    Program     ::= Slot*  Instruction*
    Instruction ::= launch kernel Place*          run all chunks of a kernel
                  | host function Place*          go back to Python for one call
                  | copy Place Place bytes        from the second to the first
                  | clear Place bytes             set to zero
                  | set slot Place                have a slot begin at a place
                  | advance slot bytes            move a slot on
                  | swap slot slot                exchange where two slots begin
                  | count slot n                  make a slot the number n
                  | repeat slot target            n -= 1; go to target if n > 0
                  | jump target                   go on at an instruction
                  | unless Place target           go there if the bool is false
                  | parts n target                run what comes before the target n
                                                  times at once, and go on there
                  | shift slot bytes              move a slot on for each part before
    Place       ::= slot + offset in bytes

A *slot* is a word of the run's table: the address where some memory begins. The first
slots are the inputs' and outputs' memory, in order; then the arena, which all other
values share; then the constants; then those that instructions set, and one for memory
that lasts from run to run.

Each of the *parts* of a program has slots of its own, which begin as they were. Other
than for `shift` all parts do the same, so they work on different memory: threads share
them. A part has no `host`, `alarm`, `settled` or `parts` in it.

Read first: `Program`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .ir.graph import TensorType


class WrongIndex(Exception):
    """Raised while a program runs: an index does not lie in its axis.

    Also where a matrix seems to have no solution. The interpreter, which runs the
    graph again, says which one, or gives the results after all. Nothing that was given
    to the program has been overwritten: the runtime raises it with the list of inputs.
    """


class Place(NamedTuple):
    """Memory that begins `offset` bytes after the beginning of `slot`."""

    slot: int
    offset: int = 0


class Launch(NamedTuple):
    """Run all chunks of a kernel.

    Attributes:
        kernel: index into `Program.kernels`.
        places: the memory of each of its buffers.
        where: the user's line that asked for it, for people.
    """

    kernel: int
    places: tuple[Place, ...]
    where: str = ""


class Host(NamedTuple):
    """Call a Python function on arrays that lie in the run's memory.

    Attributes:
        function: takes arrays, returns an array or a tuple of them.
        operands: place and type of each argument.
        results: place and type of each result, which is copied there.
        where: the user's line, to be named in errors.
    """

    function: Callable[..., Any]
    operands: tuple[tuple[Place, TensorType], ...]
    results: tuple[tuple[Place, TensorType], ...]
    where: str = ""


class Copy(NamedTuple):
    """Copy memory; the places do not overlap."""

    target: Place
    source: Place
    nbytes: int


class Clear(NamedTuple):
    """Set memory to zero."""

    target: Place
    nbytes: int


class SetSlot(NamedTuple):
    """Have `slot` begin at `place`."""

    slot: int
    place: Place


class Advance(NamedTuple):
    """Have `slot` begin `nbytes` further on; less than 0 goes back."""

    slot: int
    nbytes: int


class Swap(NamedTuple):
    """Exchange where two slots begin."""

    first: int
    second: int


class Count(NamedTuple):
    """Make the word of `slot` the number `times`."""

    slot: int
    times: int


class Repeat(NamedTuple):
    """Count `slot` down, and go to instruction `target` while it is above 0."""

    slot: int
    target: int


class Jump(NamedTuple):
    """Go on at instruction `target`."""

    target: int


class Unless(NamedTuple):
    """Go to instruction `target` if the bool at `place` is false."""

    place: Place
    target: int


class Parts(NamedTuple):
    """Run the instructions from the next one up to `target` in `number` parts.

    Attributes:
        number: how many there are; none of them writes what another one uses.
        target: the instruction at which the program goes on.
        where: the user's line that asked for it, for people.
    """

    number: int
    target: int
    where: str = ""


class Shift(NamedTuple):
    """Have `slot` begin `nbytes` further on for each part before this one."""

    slot: int
    nbytes: int


class Alarm(NamedTuple):
    """End the run with `WrongIndex` if the byte at `place` is not 0."""

    place: Place


class Settled(NamedTuple):
    """From here on nothing can go wrong, and inputs may be written over."""


Instruction = (
    Launch | Host | Copy | Clear | SetSlot | Advance | Swap | Count | Repeat | Jump
    | Unless | Parts | Shift | Alarm | Settled
)  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What one launch of a kernel costs, for profiles and estimates.

    Attributes:
        flops: floating-point additions and multiplications.
        nbytes: bytes read and written, each counted once.
    """

    flops: int = 0
    nbytes: int = 0


class Use(NamedTuple):
    """What a kernel does with one of its buffers, for people.

    Attributes:
        access: "in", "out" or "inout".
        dtype, size: element type, and number of elements.
    """

    access: str
    dtype: str
    size: int


@dataclass(frozen=True)
class Code:
    """A kernel in a form that the runtime can load.

    Attributes:
        name: what it does, for people.
        key: tells it from other kernels: by it, and by what code depends on besides,
            what is cached is found.
        chunks: how many chunks there are.
        scratch: bytes of scratch memory that a thread needs.
        work: what a launch costs.
        build: returns the object code, which holds a function named "kernel".
        uses: of each of its buffers.
        stages: what writes it as text in each of the compiler's languages.
        define: writes it as a function for a module with others, given its name, and
            whether it is given which chunks to run.
        table: numbers that it reads, as the last one of its buffers: they lie among
            the program's constants.
    """

    name: str
    key: str
    chunks: int
    scratch: int
    work: Work
    build: Callable[[], bytes]
    uses: Sequence[Use] = ()
    stages: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    define: Callable[[str, bool], str] | None = None
    table: bytes = b""


class Lasting(NamedTuple):
    """What lasts from one run to the next, such as a copy of weights in another order.

    Attributes:
        flag: where in the lasting memory a byte lies that is 0 if it need not be made
            again. The instruction before those that make it asks for it (`Unless`).
        inputs: what it is made of. It lasts as long as these are the same arrays.
    """

    flag: int
    inputs: tuple[int, ...]


@dataclass(eq=False)
class Program:
    """All that is needed to run a graph natively.

    Attributes:
        inputs, outputs: their types; the first slots, in this order.
        kernels: the different kernels, each once.
        instructions: what is done, in order.
        arena: bytes of memory that values inside the run share; 64-byte aligned.
        constants: their bytes, in a slot of their own after the arena's; aligned too.
        slots: how many there are in all.
        donations: input -> output: the output may be written where the input lies, if
            nobody else holds the input.
        lasting: bytes of memory that keeps what is in it from one run to the next.
        lasting_slot: where it begins, if there is any.
        lasts: what is in it.
    """

    inputs: Sequence[TensorType]
    outputs: Sequence[TensorType]
    kernels: Sequence[Code]
    instructions: Sequence[Instruction]
    arena: int
    constants: np.ndarray
    slots: int
    donations: dict[int, int] = field(default_factory=dict)
    lasting: int = 0
    lasting_slot: int = -1
    lasts: Sequence[Lasting] = ()

    @property
    def taken(self) -> int:
        """Bytes that a run takes besides its inputs: values, and new outputs.

        What lasts is counted too.
        """
        reused = set(self.donations.values())
        new = (x.nbytes for i, x in enumerate(self.outputs) if i not in reused)
        return self.arena + self.lasting + sum(new)

    @property
    def arena_slot(self) -> int:
        """The slot where the arena begins."""
        return len(self.inputs) + len(self.outputs)

    @property
    def constants_slot(self) -> int:
        """The slot where the constants begin."""
        return self.arena_slot + 1
