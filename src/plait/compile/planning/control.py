"""Loops and branches as instructions: SCAN, COND and WHILE.

Bodies are blocks. Nothing is copied in a turn of a loop: slices and results of each
turn lie where a slot points to that moves on, and what is carried lies in two places
whose slots are exchanged, or in one if the new value may overwrite the old one.

Read first: `write_scan`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...ir.graph import Graph, Node, TensorType
from ...program import (
    Advance,
    Copy,
    Count,
    Instruction,
    Jump,
    Parts,
    Place,
    Repeat,
    SetSlot,
    Shift,
    Swap,
    Unless,
)
from ..divide import divided
from .calls import alarms
from .stock import Home

if TYPE_CHECKING:
    from .block import Block


# What is done before a loop, after each turn, before the last turn, and afterwards.
Phases = tuple[
    list[Instruction], list[Instruction], list[Instruction], list[Instruction]
]


class _Carry:
    """Where one value lies that goes from turn to turn.

    A turn reads it at one slot and writes it at another one, which then are exchanged.

    Args:
        block: the block that has the loop.
        at: the number of the loop's group.
        start: its first value.
        result: stands for its last value.
        times: how many turns there are, if that is known.
        shared: the first value is also needed otherwise.
    """

    def __init__(
        self,
        block: Block,
        at: int,
        start: Node,
        result: Hashable,
        times: int | None,
        shared: bool,
    ) -> None:
        self.block = block
        self.type: TensorType = start.type
        self.start = start
        self.result = result
        self.times = times
        self.read, self.write = (Place(block.stock.slot()) for _ in range(2))
        nbytes = self.type.nbytes
        self.end = block.place(result, nbytes) if block.is_output(result) else None
        self.begin: Place | None = None
        # A place that was given keeps the last value; in which of the two places the
        # first one lies follows from the number of turns.
        odd = times is not None and times % 2
        if not shared and block.is_spare(at, start) and (self.end is None or odd):
            self.begin = block.operand(start)
            block.hand_over(start, self)
        self.spare = block.stock.take(nbytes)
        if self.begin is None and self.end is None:
            self.begin = block.place(self, nbytes)

    def settle(self, in_place: bool) -> Phases:
        """Decide where it lies once it is known how the body computes it.

        Returns:
            What is done before the loop, after each turn, before the last one, and
            after the loop.
        """
        block, nbytes = self.block, self.type.nbytes
        stays = in_place or (self.times is not None and self.times % 2 == 0)
        begin, end, spare = self.begin, self.end, self.spare
        if end is None:
            assert begin is not None
            first, second = begin, spare
        elif begin is not None:
            # An odd number of turns go from the operand's place to the given one.
            first, second = (begin, end) if not in_place else (end, spare)
        else:
            first, second = (spare, end) if not stays and self.times else (end, spare)
        source = block.operand(self.start)
        before: list[Instruction] = []
        if source != first and nbytes:
            before.append(Copy(first, source, nbytes))
        before.append(SetSlot(self.read.slot, first))
        between: list[Instruction] = []
        if not in_place:
            before.append(SetSlot(self.write.slot, second))
            between.append(Swap(self.read.slot, self.write.slot))
        after: list[Instruction] = []
        if self.times is None and not in_place:
            target = first if end is None else end
            after.append(Copy(target, self.read, nbytes))
            last = target
        else:
            last = first if stays else second
        self._pass_on(last)
        return before, between, [], after

    def _pass_on(self, last: Place) -> None:
        """Give the place of the last value to the result, and the others back."""
        block, nbytes = self.block, self.type.nbytes
        if last == self.spare:
            assert self.end is None
            block.own(self.result, self.spare)
            block.free(self, nbytes)
            return
        block.stock.arena.free(self.spare.offset, nbytes)
        if self.begin is not None:
            if last == self.begin:
                block.disown(self)
                block.own(self.result, last)
            else:
                block.free(self, nbytes)


def write_scan(block: Block, at: int, node: Node, results: Sequence[Hashable]) -> None:
    """Write a loop of a known number of turns."""
    captured, carried, length, reverse = (
        node.attributes[name] for name in ("captured", "carried", "length", "reverse")
    )
    body: Graph = node.attributes["body"]
    end = captured + carried
    if not length:
        for x, result in zip(node.operands[captured:end], results, strict=False):
            _copy(block, x, result)
        return
    wanted = [
        i for i in range(len(results)) if i < carried or isinstance(results[i], Node)
    ]
    body = Graph(body.inputs, [body.outputs[i] for i in wanted])
    parts = divided(body, captured) if length > 1 else None
    slices = [
        _Slices(block, block.operand(x), x.type, reverse) for x in node.operands[end:]
    ]
    stacks = [
        _Slices(block, block.place(results[i], type.nbytes), type, reverse)
        for i in wanted[carried:]
        for type in (node.type[i],)
    ]
    carries: list[_Carry | _Stacked | _Kept] = []
    for i, x in enumerate(node.operands[captured:end]):
        new, old = body.outputs[i], body.inputs[captured + i]
        above = [y.step and z is new for y, z in _pairs(stacks, body, carried)]
        below = [y.step and z is old for y, z in _pairs(stacks, body, carried)]
        if any(above) and new not in body.inputs:
            stack = stacks[above.index(True)]
            carries.append(_Stacked(block, x, results[i], stack))
        elif any(below):
            stack = stacks[below.index(True)]
            carries.append(_Kept(block, x, results[i], stack))
        else:
            shared = node.operands.count(x) > 1
            carries.append(_Carry(block, at, x, results[i], length, shared))
    moving = [one for one in (*slices, *stacks) if one.step]
    count, home = 1, block.stock.home
    outside = [block.operand(x) for x in node.operands[:captured]]
    # How far the parts of what begins at a slot lie apart.
    apart: dict[int, int] = {}
    begins: list[Instruction] = []
    fixed = list(range(captured))
    if parts is not None:
        body, count, home = parts.body, parts.number, Home(block.stock.slot())
        fixed = [i for i in fixed if not parts.rows[i]]
        for i in range(captured):
            if parts.rows[i]:
                slot = block.stock.slot()
                begins.append(SetSlot(slot, outside[i]))
                outside[i] = Place(slot)
                apart[slot] = body.inputs[i].type.nbytes
        apart |= {one.place.slot: one.step // count for one in moving}
        for one in carries:
            nbytes = one.start.type.nbytes // count
            apart |= {one.read.slot: nbytes, one.write.slot: nbytes}
    turn = block.inside(
        body,
        [
            *outside,
            *(one.read for one in carries),
            *(one.place for one in slices),
        ],
        [*(one.write for one in carries), *(one.place for one in stacks)],
        [
            x if isinstance(one, _Carry) else None
            for x, one in zip(body.inputs[captured:end], carries, strict=True)
        ],
        [body.inputs[i] for i in fixed],
        home,
    )
    phases = [one.settle(turn.in_place(i)) for i, one in enumerate(carries)]
    before, between, last, after = (
        [x for phase in phases for x in phase[i]] for i in range(4)
    )
    begins += [one.begin() for one in moving]
    begins += [x for x in before if isinstance(x, SetSlot)]
    block.write([x for x in before if not isinstance(x, SetSlot)])
    block.write(turn.before)
    own = home.arena.nbytes if parts is not None else 0
    if own:
        # Where no value of before the first turn lies: each turn needs those.
        memory = block.stock.take(count * own, fresh=True)
        begins.append(SetSlot(home.slot, memory))
        apart[home.slot] = own
    on: list[Instruction] = [*between, *(one.advance() for one in moving)]
    turns = length - bool(last)  # the last one is another one, maybe
    loop = _shifted(begins, apart)
    if turns:
        counter = block.stock.slot()
        loop.append(Count(counter, turns))
        loop += moved([*turn.instructions, *on, Repeat(counter, 0)], len(loop))
    if last:
        loop += _shifted(last, apart)
        loop += moved(turn.instructions, len(loop))
    if parts is not None:
        loop = [Parts(count, len(loop) + 1, node.where), *moved(loop, 1)]
    block.write(loop)
    block.write(after)
    if own:
        block.stock.arena.free(memory.offset, count * own)


def _shifted(
    instructions: Sequence[Instruction], apart: Mapping[int, int]
) -> list[Instruction]:
    """Return instructions that set slots, each for the part at hand."""
    found: list[Instruction] = []
    for one in instructions:
        found.append(one)
        if isinstance(one, SetSlot) and one.slot in apart:
            found.append(Shift(one.slot, apart[one.slot]))
    return found


def _pairs(
    stacks: Sequence[_Slices], body: Graph, carried: int
) -> list[tuple[_Slices, Node]]:
    """Return where results of each turn are stacked, and what they are."""
    return list(zip(stacks, body.outputs[carried:], strict=True))


class _Stacked:
    """A carry that is stacked as it leaves a turn: the next one reads it there."""

    def __init__(
        self, block: Block, start: Node, result: Hashable, stack: _Slices
    ) -> None:
        self.block, self.start, self.result, self.stack = block, start, result, stack
        self.read, self.write = Place(block.stock.slot()), stack.place

    def settle(self, in_place: bool) -> Phases:
        """Return what is done before, after each turn, before the last one, after."""
        block, slot = self.block, self.read.slot
        after: list[Instruction] = []
        if isinstance(self.result, Node):
            nbytes = self.start.type.nbytes
            target = block.place(self.result, nbytes)
            after.append(Copy(target, self.stack.at(self.stack.count - 1), nbytes))
        begin = SetSlot(slot, block.operand(self.start))
        return [begin], [SetSlot(slot, self.write)], [], after


class _Kept:
    """A carry that is stacked as it enters a turn.

    A turn writes it to the next slice; but the last one, which has no next slice, to
    the place of the result.
    """

    def __init__(
        self, block: Block, start: Node, result: Hashable, stack: _Slices
    ) -> None:
        self.block, self.start, self.stack = block, start, stack
        self.read, self.write = stack.place, Place(block.stock.slot())
        self.end = block.place(result, start.type.nbytes)

    def settle(self, in_place: bool) -> Phases:
        """Return what is done before, after each turn, before the last one, after."""
        slot, stack = self.write.slot, self.stack
        nbytes = self.start.type.nbytes
        before: list[Instruction] = [
            Copy(stack.at(0), self.block.operand(self.start), nbytes),
            SetSlot(slot, stack.at(1) if stack.count > 1 else self.end),
        ]
        step = -stack.step if stack.reverse else stack.step
        return before, [Advance(slot, step)], [SetSlot(slot, self.end)], []


class _Slices:
    """What is read or written in each turn, slice by slice along the first axis."""

    def __init__(
        self, block: Block, whole: Place, type: TensorType, reverse: bool
    ) -> None:
        self.whole, self.count, self.reverse = whole, type.shape[0], reverse
        self.step = type.nbytes // self.count
        self.place = Place(block.stock.slot()) if self.step else whole

    def at(self, turn: int) -> Place:
        """Return the slice of a turn."""
        i = self.count - 1 - turn if self.reverse else turn
        return Place(self.whole.slot, self.whole.offset + i * self.step)

    def begin(self) -> Instruction:
        """Return what goes to the slice of the first turn."""
        return SetSlot(self.place.slot, self.at(0))

    def advance(self) -> Instruction:
        """Return what goes on to the slice of the next turn."""
        return Advance(self.place.slot, -self.step if self.reverse else self.step)


def _copy(block: Block, node: Node, result: Hashable) -> None:
    nbytes = node.type.nbytes
    if nbytes:
        target = block.place(result, nbytes)
        block.write([Copy(target, block.operand(node), nbytes)])


def write_while(block: Block, at: int, node: Node, results: Sequence[Hashable]) -> None:
    """Write a loop that goes on for as long as a graph gives true."""
    captured: int = node.attributes["captured"]
    condition: Graph = node.attributes["condition_graph"]
    body: Graph = node.attributes["body_graph"]
    carries = [
        _Carry(block, at, x, result, None, node.operands.count(x) > 1)
        for x, result in zip(node.operands[captured:], results, strict=True)
    ]
    inputs = [
        *(block.operand(x) for x in node.operands[:captured]),
        *(one.read for one in carries),
    ]
    going = block.stock.take(1)
    test = block.inside(condition, inputs, [going])
    turn = block.inside(
        body, inputs, [one.write for one in carries], body.inputs[captured:]
    )
    phases = [one.settle(turn.in_place(i)) for i, one in enumerate(carries)]
    before, between, _, after = (
        [x for phase in phases for x in phase[i]] for i in range(4)
    )
    block.write(before)
    loop: list[Instruction] = list(test.instructions)
    leave = len(loop)
    loop.append(Jump(0))
    loop += moved(turn.instructions, len(loop))
    loop += between
    # A wrong index must not keep the loop going: it goes on unless there was one.
    alarm = block.stock.alarm
    loop.append(Unless(alarm, 0) if alarm is not None and alarms(node) else Jump(0))
    loop[leave] = Unless(going, len(loop))
    block.write(loop)
    block.write(after)
    block.stock.arena.free(going.offset, 1)


def write_cond(block: Block, at: int, node: Node, results: Sequence[Hashable]) -> None:
    """Write a branch."""
    predicate, *operands = node.operands
    wanted = [i for i, one in enumerate(results) if isinstance(one, Node)]
    places = [block.place(results[i], node.type[i].nbytes) for i in wanted]
    inputs = [block.operand(x) for x in operands]
    first, second = (
        block.inside(
            Graph(graph.inputs, [graph.outputs[i] for i in wanted]), inputs, places
        ).instructions
        for graph in (node.attributes["true_graph"], node.attributes["false_graph"])
    )
    start = 1 + len(first) + 1
    block.write(
        [
            Unless(block.operand(predicate), start),
            *moved(first, 1),
            Jump(start + len(second)),
            *moved(second, start),
        ]
    )


def moved(instructions: Sequence[Instruction], by: int) -> list[Instruction]:
    """Return instructions with their jumps as they are after `by` others."""
    return [
        one._replace(target=one.target + by)
        if isinstance(one, Repeat | Jump | Unless | Parts)
        else one
        for one in instructions
    ]


# Writes a node into a block, given the number of its group and what stands for its
# results.
CONTROL: dict[str, Callable[[Block, int, Node, Sequence[Hashable]], None]] = {
    "scan": write_scan,
    "while_loop": write_while,
    "cond": write_cond,
}
