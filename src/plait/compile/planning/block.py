"""One graph as instructions: groups in order, and the place of every value.

A program is a block; so are the bodies of loops and branches in it. All of them take
their memory from one arena, and a block inside another one does so while the values
around it keep theirs.

Read first: `Block`.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from ...ir.graph import Graph, Literal, Node, TensorType
from ...ops.contract import DOT
from ...program import (
    Alarm,
    Clear,
    Copy,
    Host,
    Instruction,
    Lasting,
    Launch,
    Place,
    Settled,
    Unless,
)
from ...stopwatch import timed
from ..flatten import flatten
from ..loops.grammar import Store
from ..loops.traverse import all_bodies
from ..lower.convolution import lower_convolution
from ..lower.dot import lower_dot
from ..lower.facts import facts_of
from ..lower.fused import lower_fused
from ..lower.memory import ALARM
from ..lower.opaque import lower_opaque
from ..lower.piece import Piece
from ..lower.sharing import may_share
from ..merge import merge_scans
from ..schedule.again import within
from ..schedule.group import Group, group
from ..schedule.kinds import CONTRACTION, OPAQUE
from ..schedule.lives import last_uses, most_held, stored
from ..schedule.order import ordered, orders
from ..schedule.thrift import thrifty
from ..split import split
from .calls import alarming, alarms, reference
from .control import CONTROL, moved
from .stock import Home, Stock


class Block:
    """Turns groups in order into instructions, and gives every value its place.

    Args:
        stock: what it shares with other blocks.
        graph: what is computed.
        inputs, outputs: where their values lie. An output may lie elsewhere in the
            end, see `in_place`.
        carried: for each output the input that it becomes in the next turn, which it
            may overwrite.
        fixed: inputs that are the same in each turn, if this is the body of a loop.
        donations: of the outermost block, input -> output: filled in.
        room: bytes that its values shall take in the arena at once, if that can be.
        lasts: of the outermost block: copies of inputs may be kept for the next run.
        home: memory for the values of each turn, if this is the body of a loop; by
            default the one that all share.

    Attributes:
        held: bytes that they do take.
        before: instructions that need to run only once, before the first turn.
        instructions: the others. Jumps are relative to the beginning of the list.
    """

    def __init__(
        self,
        stock: Stock,
        graph: Graph,
        inputs: Sequence[Place],
        outputs: Sequence[Place],
        *,
        carried: Sequence[Node | None] = (),
        fixed: Collection[Node] | None = None,
        donations: dict[int, int] | None = None,
        room: int | None = None,
        lasts: bool = False,
        home: Home | None = None,
    ) -> None:
        self.stock = stock
        self._home = home or stock.home
        self.before: list[Instruction] = []
        self.instructions: list[Instruction] = []
        with timed("group"):
            graph, after = split(*flatten(merge_scans(graph)), stock.target.finer)
            found, graph = thrifty(group(graph, after), graph)
            groups = ordered(found, graph)
            if room is not None and most_held(groups, graph) > room:
                groups, graph = within([groups, *orders(found, graph)], graph, room)
        self.graph = graph
        self.held = most_held(groups, graph)
        self.inputs = set(graph.inputs)
        self.places: dict[Hashable, Place] = dict(
            zip(graph.inputs, inputs, strict=True)
        )
        self._targets = list(outputs)
        self._outputs = dict(reversed([*zip(graph.outputs, outputs, strict=True)]))
        self._carried = [*carried, *[None] * (len(graph.outputs) - len(carried))]
        self._donations = donations
        self._owned: set[Hashable] = set()  # whose memory this block has taken
        self._kept: list[tuple[Place, int]] = []  # memory until the block ends
        self._overwritten: set[Node] = set()  # whose place another value has now
        # What is known before the first turn.
        self._known: set[Node] = set(fixed or ())
        self._hoists = fixed is not None
        self._lasts = lasts
        self._hoisted, rest = self._split(groups)
        self.groups = [*self._hoisted, *rest]
        self._last = self._last_uses()
        if donations is not None:
            self._begin_at_outputs()
        self._alarming = alarming(self.groups)
        self._into = self.instructions

    def _split(self, groups: Iterable[Group]) -> tuple[list[Group], list[Group]]:
        """Return the groups that need to run only once, and the others."""
        once: list[Group] = []
        rest: list[Group] = []
        for one in groups:
            if (
                self._hoists
                and self._known.issuperset(one.reads)
                and not any(node in self._outputs for node in one.members)
            ):
                once.append(one)
                self._known.update(one.members)
            else:
                rest.append(one)
        return once, rest

    def _last_uses(self) -> dict[Node, int]:
        last = last_uses(self.groups)
        for one in self._hoisted:
            for node in one.members:
                last[node] = len(self.groups)
        return last

    def _begin_at_outputs(self) -> None:
        """Have values computed where a scatter into them, an output, shall lie."""
        made = {node for one in self.groups for node in one.members}
        for one in self.groups:
            target = self._outputs.get(one.head)
            if target is None or one.head.primitive.name != "scatter":
                continue
            start = one.head.operands[0]
            readers = [other for other in self.groups if start in other.reads]
            if (
                readers == [one]
                and one.head.operands.count(start) == 1
                and start in made
                and start not in self._outputs
            ):
                self._outputs[start] = target

    def plan(self) -> None:
        """Write the instructions."""
        dying: dict[int, list[Node]] = {}
        for node, at in self._last.items():
            dying.setdefault(at, []).append(node)
        wanted = stored(self.groups, self.graph)
        for at, one in enumerate(self.groups):
            early = at < len(self._hoisted)
            self._into = self.before if early else self.instructions
            if at == self._alarming and self._donations is not None:
                self._into.append(Settled())
            outputs = [node for node in one.members if node in wanted]
            if one.kind == OPAQUE:
                self._opaque(at, one, outputs)
            elif outputs:
                self._compute(at, one, outputs)
            for node in dying.get(at, ()):
                self._release(node)
        for node in dying.get(len(self.groups), ()):
            self._release(node)
        for place, nbytes in self._kept:
            self._give_back(place, nbytes)
        self._into = self.instructions
        self._finish_outputs()

    def in_place(self, i: int) -> bool:
        """Return whether output `i` lies where the input lies that it becomes."""
        node, source = self.graph.outputs[i], self._carried[i]
        return source is not None and self.places[node] == self.places[source]

    def inside(
        self,
        graph: Graph,
        inputs: Sequence[Place],
        outputs: Sequence[Place],
        carried: Sequence[Node | None] = (),
        fixed: Collection[Node] | None = None,
        home: Home | None = None,
    ) -> Block:
        """Return the finished plan of a graph that runs inside this one."""
        block = Block(
            self.stock, graph, inputs, outputs, carried=carried, fixed=fixed, home=home
        )
        block.plan()
        return block

    # Places

    def place(self, content: Hashable, nbytes: int) -> Place:
        """Return where something lies, or shall lie."""
        place = self.places.get(content)
        if place is None:
            place = self._outputs.get(content)  # type: ignore[call-overload]
            if place is not None:
                pass
            elif isinstance(content, Literal):
                return self.stock.constant(content)
            elif isinstance(content, Node) and content.primitive.name == "constant":
                return self.stock.constant(content.attributes["value"])
            elif isinstance(content, Node) and content.primitive.name == "iota":
                array = np.arange(content.size, dtype=content.dtype.numpy)
                return self.stock.constant(Literal(array))
            else:
                # What is made before the first turn is there for all parts of a loop.
                early = self._into is self.before
                place = (self.stock.home if early else self._home).take(nbytes)
                self._owned.add(content)
            self.places[content] = place
        return place

    def _give_back(self, place: Place, nbytes: int) -> None:
        home = self._home if place.slot == self._home.slot else self.stock.home
        home.arena.free(place.offset, nbytes)

    def is_output(self, content: Hashable) -> bool:
        """Return whether something has a place that was given."""
        return content in self._outputs

    def is_spare(self, at: int, node: Node) -> bool:
        """Return whether the memory of an operand may be used once group `at` ran."""
        return (
            self._last.get(node) == at
            and node in self._owned
            and node not in self._overwritten
            and node not in self._outputs
        )

    def hand_over(self, node: Node, content: Hashable) -> None:
        """Have something lie where a spare operand lies."""
        self.places[content] = self.places[node]
        self._owned.add(content)
        self._overwritten.add(node)

    def own(self, content: Hashable, place: Place) -> None:
        """Have something lie at a place in the arena, which it gives back."""
        self.places[content] = place
        self._owned.add(content)

    def disown(self, content: Hashable) -> None:
        """Forget something whose place another value has now."""
        del self.places[content]
        self._owned.discard(content)

    def free(self, content: Hashable, nbytes: int) -> None:
        """Take back the memory of something that is no node."""
        place = self.places.pop(content)
        if content in self._owned:
            self._owned.discard(content)
            self._give_back(place, nbytes)

    def _release(self, node: Node) -> None:
        if node in self._owned and node not in self._overwritten:
            self._give_back(self.places[node], node.type.nbytes)

    # Instructions

    def write(self, instructions: Sequence[Instruction]) -> None:
        """Add instructions, whose jumps are relative to their beginning."""
        self._into += moved(instructions, len(self._into))

    def _compute(self, at: int, one: Group, outputs: list[Node]) -> None:
        if all(node.size == 0 for node in outputs):
            for node in outputs:
                self.place(node, 0)
            return
        stock = self.stock
        lasting = self._lasts and self._lasts_kernel(one)
        pieces = stock.shelf.pieces(
            one, self._is_stored, outputs,
            (stock.target, stock.precision, lasting, self._fixed(one)),
            lambda: self._lowered(one, outputs, lasting),
        )  # fmt: skip
        self._launch(at, one, pieces, outputs)

    def _lasts_kernel(self, one: Group) -> bool:
        """Return whether a group is a convolution with an input as its kernel."""
        name = one.head.primitive.name
        return name == "convolution" and one.head.operands[1] in self.inputs

    def _lowered(self, one: Group, outputs: list[Node], lasting: bool) -> list[Piece]:
        name, target = _name_of(one), self.stock.target
        if one.kind != CONTRACTION:
            return [
                lower_fused(
                    one,
                    self._is_stored,
                    outputs,
                    target.lanes,
                    name,
                    target.compact,
                    target.finer,
                )
            ]
        facts = replace(facts_of(target), lasting=lasting)
        precision = self.stock.precision
        if one.head.primitive is not DOT:
            return lower_convolution(
                one, self._is_stored, outputs, facts, precision, name
            )
        return lower_dot(
            one, self._is_stored, outputs, facts, precision, name, self._fixed(one)
        )

    def _fixed(self, one: Group) -> tuple[bool, bool]:
        """Return which operands of a product are the same in each turn of a loop."""
        if one.kind != CONTRACTION or not self._hoists or self._into is self.before:
            return False, False
        left, right = one.head.operands[:2]
        return self._is_fixed(left), self._is_fixed(right)

    def _is_fixed(self, node: Node) -> bool:
        stack = [node]
        while stack:
            x = stack.pop()
            if x not in self._known:
                if x in self.inputs or self._is_stored(x):
                    return False
                stack.extend(x.operands)
        return True

    def _is_stored(self, node: Node) -> bool:
        return node in self.places

    def _launch(
        self, at: int, one: Group, pieces: list[Piece], outputs: list[Node]
    ) -> None:
        shared: dict[Hashable, int] = {}
        for piece in pieces:
            for content, buffer in zip(
                piece.contents, piece.kernel.buffers, strict=True
            ):
                if content == ALARM:
                    self.raise_alarm()
                elif not isinstance(content, Node | Literal):
                    shared[content] = buffer.size * buffer.dtype.itemsize
        self._take_over(at, pieces, outputs)
        once = self._hoisted_pieces(pieces, shared) if self._hoists else ()
        lasting = self._lasting_pieces(pieces, shared) if self._lasts else {}
        for piece in pieces:
            places = []
            for content, buffer in zip(
                piece.contents, piece.kernel.buffers, strict=True
            ):
                nbytes = buffer.size * buffer.dtype.itemsize
                if content == ALARM:
                    assert self.stock.alarm is not None
                    places.append(self.stock.alarm)
                else:
                    places.append(self.place(content, nbytes))
            if piece in lasting:
                self._into.append(Unless(lasting[piece], len(self._into) + 2))
            launch = Launch(self.stock.kernel(piece), tuple(places), _line_of(one))
            (self.before if piece in once else self._into).append(launch)
        for content, nbytes in shared.items():
            self.free(content, nbytes)
        if any(ALARM in piece.contents for piece in pieces):
            self.check_alarm()

    def _hoisted_pieces(
        self, pieces: list[Piece], shared: dict[Hashable, int]
    ) -> list[Piece]:
        """Return the pieces that need to run only once, and place what they make.

        Such as the copy of a matrix with which each turn multiplies.
        """
        if self._into is self.before:
            return []
        once: list[Piece] = []
        others: set[Hashable] = set()
        made: set[Hashable] = set()
        for piece in pieces:
            nodes = [x for x in piece.contents if isinstance(x, Node)]
            temporary = {x for x in piece.contents if x in shared}
            if self._known.issuperset(nodes) and others.isdisjoint(temporary):
                once.append(piece)
                made |= temporary
            else:
                others |= temporary
        for piece in pieces:
            if piece not in once and not made.isdisjoint(_written(piece)):
                return []
        for content in made:
            place = self.stock.take(shared[content], fresh=True)
            self.places[content] = place
            self._kept.append((place, shared[content]))
        return once

    def _lasting_pieces(
        self, pieces: list[Piece], shared: dict[Hashable, int]
    ) -> dict[Piece, Place]:
        """Return the pieces whose results are kept for the next run, which make copies
        of inputs, and the place of the flag of each; place what they make.
        """
        found: dict[Piece, Place] = {}
        for piece in pieces:
            made = [x for x in piece.contents if x in shared]
            nodes = [x for x in piece.contents if isinstance(x, Node)]
            others = [x for x in pieces if x is not piece]
            if (
                not nodes
                or not self.inputs.issuperset(nodes)
                or any(node.ndim == 0 for node in nodes)
                or ALARM in piece.contents
                or set(made) != _written(piece)
                or any(not _written(other).isdisjoint(made) for other in others)
            ):
                continue
            flag = found[piece] = self.stock.take_lasting(1)
            inputs = tuple(self.places[node].slot for node in nodes)
            self.stock.lasts.append(Lasting(flag.offset, inputs))
            for content in made:
                self.places[content] = self.stock.take_lasting(shared[content])
        return found

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
                    or self._last.get(content) != at
                    or content in outputs
                    or any(content in other.contents for other in pieces[:-1])
                    or not self._may_take(at, node, content)
                    or not _may_share(piece, node, content)
                ):
                    continue
                taken.add(content)
                # It changes while the kernel runs.
                piece.inout.add(piece.contents.index(content))
                source = self.places[content]
                if content not in self.inputs:
                    self.hand_over(content, node)
                elif self._donations is None:
                    self.places[node] = source
                else:
                    output = self._outputs[node].slot - len(self.graph.inputs)
                    self._donations[source.slot] = output
                break

    def _may_take(self, at: int, node: Node, content: Node) -> bool:
        """Return whether a value may get the place of another that nobody needs."""
        if content not in self.inputs:
            return node not in self._outputs and self.is_spare(at, content)
        if node not in self._outputs or content in self._outputs:
            return False
        if self._donations is None:
            pairs = zip(self._carried, self.graph.outputs, strict=True)
            return any(x is content and y is node for x, y in pairs)
        slot = self.places[content].slot
        return at >= self._alarming and slot not in self._donations

    def raise_alarm(self) -> None:
        """Have a byte that is 0 as long as no index is wrong."""
        if self.stock.alarm is None:
            # Here, not at the beginning, when other values may lie at the same place.
            self.stock.alarm = self.stock.take(1)
            self._into.append(Clear(self.stock.alarm, 1))

    def check_alarm(self) -> None:
        """Stop the program if an index is wrong. Loops are left first."""
        if self._donations is None:
            return
        assert self.stock.alarm is not None
        self._into.append(Alarm(self.stock.alarm))

    # What no other group is computed with

    def _opaque(self, at: int, one: Group, outputs: list[Node]) -> None:
        node = one.head
        write = CONTROL.get(node.primitive.name)
        results = results_of(one)
        if write is not None:
            if alarms(node):
                self.raise_alarm()
            write(self, at, node, results)
            if alarms(node):
                self.check_alarm()
        elif not alarms(node) and not any(type.size for type in types_of(node)):
            pass
        elif not self._native(at, one, results, outputs):
            self._host(node, results)
        for result, type in zip(results, types_of(node), strict=True):
            if isinstance(result, Node):
                self.place(result, type.nbytes)
            elif result in self.places:
                self.free(result, type.nbytes)
        for other in one.members[1:]:
            index = other.attributes["index"]
            if other is not results[index] and other.type.nbytes:
                # A result that was picked twice.
                source = self.places[results[index]]
                target = self.place(other, other.type.nbytes)
                self._into.append(Copy(target, source, other.type.nbytes))

    def _native(
        self, at: int, one: Group, results: Sequence[Hashable], outputs: list[Node]
    ) -> bool:
        """Compute a node with kernels of its own, if there are any."""
        node = one.head
        machine = self.stock.target
        found = lower_opaque(node, results, machine.lanes, _name_of(one), machine.alone)
        if found is None:
            return False
        if found.start is not None:
            nbytes = node.type.nbytes
            once = node.operands.count(found.start) == 1
            spare = once and self.is_spare(at, found.start)
            if spare and not self.is_output(results[0]):
                self.hand_over(found.start, results[0])
            else:
                target, source = (
                    self.place(results[0], nbytes),
                    self.operand(found.start),
                )
                if source != target:
                    self._into.append(Copy(target, source, nbytes))
        if found.pieces:
            self._launch(at, one, found.pieces, outputs)
        return True

    def operand(self, node: Node) -> Place:
        """Return where an operand lies."""
        return self.place(node, node.type.nbytes)

    def _host(self, node: Node, results: Sequence[Hashable]) -> None:
        operands = tuple((self.operand(x), x.type) for x in node.operands)
        into = tuple(
            (self.place(result, type.nbytes), type)
            for result, type in zip(results, types_of(node), strict=True)
        )
        self._into.append(Host(reference(node), operands, into, node.where))

    def _finish_outputs(self) -> None:
        """Copy what is an output in several places, or an input too."""
        for i, (node, target) in enumerate(
            zip(self.graph.outputs, self._targets, strict=True)
        ):
            source = self.operand(node)
            if source != target and node.type.nbytes and not self.in_place(i):
                self._into.append(Copy(target, source, node.type.nbytes))


def types_of(node: Node) -> Sequence[TensorType]:
    """Return the types of a node's results, of which it may have one."""
    return [node.type] if isinstance(node.type, TensorType) else list(node.type)


def results_of(one: Group) -> list[Hashable]:
    """Return the results of a group of one opaque node.

    Where nobody needs a result, something else stands for its memory.
    """
    node = one.head
    if isinstance(node.type, TensorType):
        return [node]
    picked = {x.attributes["index"]: x for x in one.members[1:]}
    return [picked.get(i, (node, i)) for i in range(len(node.type))]


def _may_share(piece: Piece, target: Hashable, source: Hashable) -> bool:
    """Return whether what a piece makes may lie where one of its operands lies."""
    i, j = piece.contents.index(target), piece.contents.index(source)
    key = (may_share, i, j)
    if key not in piece.memo:
        buffers = piece.kernel.buffers
        # An operand may also be read as pairs of elements, by another buffer.
        piece.memo[key] = piece.contents.count(source) == 1 and may_share(
            piece.kernel, buffers[i], buffers[j]
        )
    known: bool = piece.memo[key]
    return known


def _written(piece: Piece) -> set[Hashable]:
    """Return what a kernel stores into."""
    buffers = {
        statement.buffer
        for body in all_bodies(piece.kernel.body)
        for statement in body
        if isinstance(statement, Store)
    }
    pairs = zip(piece.contents, piece.kernel.buffers, strict=True)
    return {content for content, buffer in pairs if buffer in buffers}


def _name_of(one: Group) -> str:
    """Return what a group does, for people."""
    names = dict.fromkeys(node.primitive.name for node in one.members)
    names.pop("pick", None)
    shape = one.shape
    if one.kind == OPAQUE:
        shape = types_of(one.head)[0].shape
    text = "x".join(map(str, shape)) or "scalar"
    return f"{'_'.join(names)}_{text}"[:60]


def _line_of(one: Group) -> str:
    """Return the user's line that a group comes from: that of its first member."""
    return next((node.where for node in one.members if node.where), "")
