"""What all blocks of a program share: memory, kernels, constants, and slots.

Read first: `Stock`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...ir.graph import Graph, Literal
from ...program import Code, Instruction, Lasting, Place, Program
from ..llvm.target import Target
from ..lower.piece import Piece
from ..schedule.arena import ALIGNMENT, Arena, aligned
from .alike import Shelf


class Home:
    """Memory in which blocks have their values.

    Attributes:
        slot: where it begins.
        arena: gives out places in it.
    """

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.arena = Arena()

    def take(self, nbytes: int, fresh: bool = False) -> Place:
        """Return a new place.

        Args:
            fresh: nothing has lain there before.
        """
        return Place(self.slot, self.arena.take(nbytes, fresh))


class Stock:
    """What the program is made of, while it is made.

    Args:
        graph: the whole program's.
        target, precision: see `compile_graph`.
        coded: makes a kernel's code.
        shelf: what groups that are alike have been lowered to.

    Attributes:
        home: the memory that values inside the program share.
        alarm: where the byte lies that tells of a wrong index, once there is one.
        lasts: what lasts from run to run.
    """

    def __init__(
        self,
        graph: Graph,
        target: Target,
        precision: str,
        coded: Callable[[Piece, Target], Code],
        shelf: Shelf,
    ) -> None:
        self.shelf = shelf
        self.target = target
        self.precision = precision
        self.home = Home(len(graph.inputs) + len(graph.outputs))
        self.alarm: Place | None = None
        self.lasts: list[Lasting] = []
        self._lasting, self._lasting_slot = 0, -1
        self._coded = coded
        self._slots = self.home.slot + 2
        self._kernels: list[Code] = []
        self._numbers: dict[str, int] = {}
        self._constants: list[np.ndarray] = []
        self._constant_bytes = 0
        self._literals: dict[Literal, Place] = {}

    def slot(self) -> int:
        """Return a new slot, which instructions set."""
        self._slots += 1
        return self._slots - 1

    @property
    def arena(self) -> Arena:
        """Gives out places in the memory that values inside the program share."""
        return self.home.arena

    def take(self, nbytes: int, fresh: bool = False) -> Place:
        """Return a new place for a value; see `Home.take`."""
        return self.home.take(nbytes, fresh)

    def take_lasting(self, nbytes: int) -> Place:
        """Return a place in the memory that lasts from run to run."""
        if self._lasting_slot < 0:
            self._lasting_slot = self.slot()
        place = Place(self._lasting_slot, self._lasting)
        self._lasting += aligned(nbytes)
        return place

    def kernel(self, piece: Piece) -> int:
        """Return the number of a kernel; equal ones are one."""
        code = self._coded(piece, self.target)
        number = self._numbers.get(code.key)
        if number is None:
            number = self._numbers[code.key] = len(self._kernels)
            self._kernels.append(code)
        return number

    def constant(self, value: Literal) -> Place:
        """Return where a constant lies."""
        place = self._literals.get(value)
        if place is None:
            place = Place(self.home.slot + 1, self._constant_bytes)
            self._literals[value] = place
            self._constants.append(value.array)
            self._constant_bytes += aligned(value.array.nbytes)
        return place

    def program(
        self,
        graph: Graph,
        instructions: Sequence[Instruction],
        donations: dict[int, int],
    ) -> Program:
        """Return the finished program."""
        return Program(
            [node.type for node in graph.inputs],
            [node.type for node in graph.outputs],
            self._kernels,
            instructions,
            self.arena.nbytes,
            self._all_constants(),
            self._slots,
            donations,
            self._lasting,
            self._lasting_slot,
            self.lasts,
        )

    def _all_constants(self) -> np.ndarray:
        memory = np.zeros(self._constant_bytes + ALIGNMENT, np.uint8)
        start = -memory.__array_interface__["data"][0] % ALIGNMENT
        memory = memory[start : start + self._constant_bytes]
        at = 0
        for array in self._constants:
            data = np.frombuffer(array.tobytes(), np.uint8)
            memory[at : at + data.size] = data
            at += aligned(array.nbytes)
        return memory
