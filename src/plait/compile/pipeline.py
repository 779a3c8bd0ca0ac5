"""The compiler, from a graph to a program: the list of what is done, in order.

Read first: `compile_graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..dtypes import uint8
from ..ir.graph import Graph, Literal, Node, TensorType
from ..program import (
    Clear,
    Code,
    Copy,
    Host,
    Instruction,
    Launch,
    Place,
    Program,
    Use,
    WrongIndex,
)
from ..stopwatch import timed
from .flatten import flatten
from .llvm.assemble import assemble, assembly
from .llvm.emit import emit
from .llvm.target import Target
from .loops.functions import expand_functions
from .loops.simplify import simplify
from .loops.text import to_text
from .lower.dot import lower_dot
from .lower.facts import facts_of
from .lower.fused import lower_fused
from .lower.memory import ALARM
from .lower.piece import Piece
from .lower.sharing import may_share
from .schedule.arena import ALIGNMENT, Arena, aligned
from .schedule.group import Group, group
from .schedule.kinds import CONTRACTION, OPAQUE
from .schedule.order import ordered

# Primitives that may find an index that does not lie in its axis.
_INDEXING = ("gather", "scatter", "wrap_index")


def compile_graph(graph: Graph, target: Target, precision: str = "highest") -> Program:
    """Return the program that computes `graph`.

    Args:
        graph: simplified.
        target: what code is made for.
        precision: of float32 contractions, see `settings.matmul_precision`.
    """
    with timed("group"):
        graph = flatten(graph)
        groups = ordered(group(graph), set(graph.inputs))
    with timed("lower"):
        return _Planner(graph, groups, target, precision).plan()


def kernel_code(piece: Piece, target: Target) -> Code:
    """Return a kernel in the form that the runtime loads."""
    with timed("loops"):
        short = simplify(piece.kernel)
        kernel = simplify(expand_functions(short))
        text = to_text(kernel, canonical=True)
    scratch = sum(aligned(one.size * one.dtype.itemsize) for one in kernel.scratch)

    def llvm() -> str:
        with timed("emit"):
            return emit(kernel, target)

    def build() -> bytes:
        text = llvm()
        with timed("assemble"):
            return assemble(text, target)

    # Functions such as exp are one word there, which is what people want to read.
    stages = {
        "loops": lambda: to_text(short),
        "llvm": llvm,
        "assembly": lambda: assembly(llvm(), target),
    }
    uses = [Use(x.access, x.dtype.name, x.size) for x in kernel.buffers]
    return Code(
        kernel.name, text, kernel.chunks, scratch, piece.work, build, uses, stages
    )


class _Planner:
    """Turns groups in order into instructions, and gives every value its place."""

    def __init__(
        self, graph: Graph, groups: Sequence[Group], target: Target, precision: str
    ) -> None:
        self.graph = graph
        self.groups = groups
        self.target = target
        self.precision = precision
        self.inputs = set(graph.inputs)
        self.arena = Arena()
        inputs = len(graph.inputs)
        self.outputs = {x: inputs + i for i, x in reversed([*enumerate(graph.outputs)])}
        self.arena_slot = inputs + len(graph.outputs)
        self.places: dict[Hashable, Place] = {
            node: Place(i) for i, node in enumerate(graph.inputs)
        }
        self.instructions: list[Instruction] = []
        self.kernels: list[Code] = []
        self.numbers: dict[str, int] = {}
        self.constants: list[np.ndarray] = []
        self.constant_bytes = 0
        self.donations: dict[int, int] = {}
        self.home = {node: one for one in groups for node in one.members}
        self.last = self._last_uses()
        self.overwritten: set[Node] = set()  # whose place another value has now
        self.alarmed = False
        self.alarming = _alarming(groups)

    def _last_uses(self) -> dict[Node, int]:
        last: dict[Node, int] = {}
        for at, one in enumerate(self.groups):
            for node in one.members:
                last[node] = at
            for node in one.reads:
                last[node] = at
        return last

    def plan(self) -> Program:
        """Return the program."""
        dying: dict[int, list[Node]] = {}
        for node, at in self.last.items():
            dying.setdefault(at, []).append(node)
        wanted = set(self.graph.outputs)
        for one in self.groups:
            for node in one.reads:
                if self.home.get(node) is not one:
                    wanted.add(node)
        for at, one in enumerate(self.groups):
            outputs = [node for node in one.members if node in wanted]
            if one.kind == OPAQUE:
                self._host(one)
            elif outputs:
                self._launch(at, one, outputs)
            for node in dying.get(at, ()):
                self._release(node)
        self._finish_outputs()
        return Program(
            [node.type for node in self.graph.inputs],
            [node.type for node in self.graph.outputs],
            self.kernels,
            self.instructions,
            self.arena.nbytes,
            self._all_constants(),
            self.arena_slot + 2,
            self.donations,
        )

    # Places

    def _place(self, content: Hashable, nbytes: int) -> Place:
        place = self.places.get(content)
        if place is None:
            slot = self.outputs.get(content)  # type: ignore[call-overload]
            if slot is not None:
                place = Place(slot)
            elif isinstance(content, Literal):
                place = self._constant(content.array)
            else:
                place = Place(self.arena_slot, self.arena.take(nbytes))
            self.places[content] = place
        return place

    def _constant(self, array: np.ndarray) -> Place:
        place = Place(self.arena_slot + 1, self.constant_bytes)
        self.constants.append(array)
        self.constant_bytes += aligned(array.nbytes)
        return place

    def _all_constants(self) -> np.ndarray:
        memory = np.zeros(self.constant_bytes + ALIGNMENT, np.uint8)
        start = -memory.__array_interface__["data"][0] % ALIGNMENT
        memory = memory[start : start + self.constant_bytes]
        at = 0
        for array in self.constants:
            data = np.frombuffer(array.tobytes(), np.uint8)
            memory[at : at + data.size] = data
            at += aligned(array.nbytes)
        return memory

    def _release(self, node: Node) -> None:
        place = self.places.get(node)
        if node in self.overwritten:
            return
        if place is not None and place.slot == self.arena_slot:
            self.arena.free(place.offset, node.type.nbytes)

    # Instructions

    def _launch(self, at: int, one: Group, outputs: list[Node]) -> None:
        if all(node.size == 0 for node in outputs):
            for node in outputs:
                self._place(node, 0)
            return
        pieces = self._lower(one, outputs)
        shared: dict[Hashable, int] = {}
        for piece in pieces:
            for content, buffer in zip(
                piece.contents, piece.kernel.buffers, strict=True
            ):
                nbytes = buffer.size * buffer.dtype.itemsize
                if content == ALARM:
                    self._raise_alarm()
                elif not isinstance(content, Node | Literal):
                    shared[content] = nbytes
        self._take_over(at, pieces, outputs)
        for piece in pieces:
            places = []
            for content, buffer in zip(
                piece.contents, piece.kernel.buffers, strict=True
            ):
                nbytes = buffer.size * buffer.dtype.itemsize
                places.append(self._place(content, nbytes))
            launch = Launch(self._kernel(piece), tuple(places), _line_of(one))
            self.instructions.append(launch)
        for content, nbytes in shared.items():
            self.arena.free(self.places.pop(content).offset, nbytes)
        if any(ALARM in piece.contents for piece in pieces):
            place = self.places[ALARM]
            self.instructions.append(
                Host(_check_alarm, ((place, TensorType((1,), uint8)),), ())
            )

    def _lower(self, one: Group, outputs: list[Node]) -> list[Piece]:
        name = _name_of(one)
        if one.kind == CONTRACTION:
            facts = facts_of(self.target)
            return lower_dot(
                one, self._is_stored, outputs, facts, self.precision, name
            )
        lanes = self.target.lanes
        return [lower_fused(one, self._is_stored, outputs, lanes, name)]

    def _is_stored(self, node: Node) -> bool:
        return node in self.places

    def _kernel(self, piece: Piece) -> int:
        code = kernel_code(piece, self.target)
        number = self.numbers.get(code.text)
        if number is None:
            number = self.numbers[code.text] = len(self.kernels)
            self.kernels.append(code)
        return number

    def _take_over(self, at: int, pieces: list[Piece], outputs: list[Node]) -> None:
        """Have outputs written where operands lie that nobody needs afterwards."""
        piece = pieces[-1]
        taken: set[Node] = set()
        # The last ones first: an update rather than the gradient it is made of.
        for node in reversed(outputs):
            if node in self.places or node not in piece.contents:
                continue
            for content in piece.contents:
                if (
                    not isinstance(content, Node)
                    or content in taken
                    or content.type is not node.type
                    or self.last.get(content) != at
                    or content in outputs
                    or any(content in other.contents for other in pieces[:-1])
                ):
                    continue
                source = self.places[content]
                is_input = content in self.inputs
                if is_input != (node in self.outputs):
                    continue
                if not is_input and source.slot != self.arena_slot:
                    continue
                if is_input and (
                    at < self.alarming
                    or source.slot in self.donations
                    or content in self.outputs
                ):
                    continue
                kernel = piece.kernel
                if not may_share(
                    kernel, piece.buffer_of(node), piece.buffer_of(content)
                ):
                    continue
                taken.add(content)
                # It changes while the kernel runs.
                piece.buffer_of(content).access = "inout"
                if is_input:
                    inputs = len(self.graph.inputs)
                    self.donations[source.slot] = self.outputs[node] - inputs
                else:
                    self.places[node] = source
                    self.overwritten.add(content)
                break

    def _raise_alarm(self) -> None:
        if not self.alarmed:
            self.alarmed = True
            # Here, not at the beginning, when other values may lie at the same place.
            self.instructions.append(Clear(self._place(ALARM, 1), 1))

    def _host(self, one: Group) -> None:
        node = one.head
        operands = tuple(
            (self._place(x, x.type.nbytes), x.type) for x in node.operands
        )
        if isinstance(node.type, TensorType):
            results = ((self._place(node, node.type.nbytes), node.type),)
        else:
            picked = {x.attributes["index"]: x for x in one.members[1:]}
            results = tuple(
                (self._place(picked.get(i, (node, i)), type.nbytes), type)
                for i, type in enumerate(node.type)
            )
            for i, type in enumerate(node.type):
                if i not in picked:
                    place = self.places.pop((node, i))
                    self.arena.free(place.offset, type.nbytes)
        self.instructions.append(Host(_reference(node), operands, results, node.where))

    def _finish_outputs(self) -> None:
        """Copy what is an output in several places, or an input too."""
        inputs = len(self.graph.inputs)
        for i, node in enumerate(self.graph.outputs):
            target = Place(inputs + i)
            source = self._place(node, node.type.nbytes)
            if source != target and node.type.nbytes:
                self.instructions.append(Copy(target, source, node.type.nbytes))


def _name_of(one: Group) -> str:
    """Return what a group does, for people."""
    names = dict.fromkeys(node.primitive.name for node in one.members)
    shape = "x".join(map(str, one.shape)) or "scalar"
    return f"{'_'.join(names)}_{shape}"[:60]


def _line_of(one: Group) -> str:
    """Return the user's line that a group comes from: that of its first member."""
    return next((node.where for node in one.members if node.where), "")


def _reference(node: Node) -> Callable[..., Any]:
    reference = node.primitive.reference
    return partial(reference, **node.attributes) if node.attributes else reference


def _check_alarm(alarm: np.ndarray) -> tuple[()]:
    if alarm[0]:
        raise WrongIndex
    return ()


def _alarming(groups: Sequence[Group]) -> int:
    """Return how many groups there are up to the last one that may find a wrong
    index.
    """
    count = 0
    for at, one in enumerate(groups):
        seen: set[Node] = set()
        stack = list(one.members)
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node.primitive.name in _INDEXING:
                count = at + 1
            stack.extend(x for x in node.operands if x not in one.reads)
    return count
