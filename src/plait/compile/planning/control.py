"""Loops and branches as instructions: SCAN, COND and WHILE.

Bodies are blocks. Nothing is copied in a turn of a loop: slices and results of each
turn lie where a slot points to that moves on, and what is carried lies in two places
whose slots are exchanged, or in one if the new value may overwrite the old one.

Read first: `write_scan`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from ...ir.graph import Graph, Node, TensorType
from ...program import (
    Advance,
    Copy,
    Count,
    Instruction,
    Jump,
    Place,
    Repeat,
    SetSlot,
    Swap,
    Unless,
)
from .calls import alarms

if TYPE_CHECKING:
    from .block import Block


class _Carry:
    """Where one value lies that goes from turn to turn.

    A turn reads it at slot `old` and writes it at slot `new`, which then are exchanged.

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
        self.old, self.new = block.stock.slot(), block.stock.slot()
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

    def settle(self, in_place: bool) -> tuple[list[Instruction], list[Instruction]]:
        """Decide where it lies once it is known how the body computes it.

        Returns:
            What is done before and after the loop.
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
        before += [SetSlot(self.old, first), SetSlot(self.new, second)]
        after: list[Instruction] = []
        if self.times is None and not in_place:
            target = first if end is None else end
            after.append(Copy(target, Place(self.old), nbytes))
            last = target
        else:
            last = first if stays else second
        self._pass_on(last)
        return before, after

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


def _carries(
    block: Block,
    at: int,
    operands: Sequence[Node],
    first: int,
    results: Sequence[Hashable],
    times: int | None,
) -> list[_Carry]:
    """Return the carries of a loop whose operands begin with `first` other ones."""
    return [
        _Carry(block, at, start, result, times, operands.count(start) > 1)
        for start, result in zip(operands[first:], results, strict=False)
    ]


def write_scan(
    block: Block, at: int, node: Node, results: Sequence[Hashable]
) -> None:
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
    carries = _carries(
        block, at, node.operands, captured, results[:carried], length
    )
    slices = [_Slices(block, block.operand(x), x.type) for x in node.operands[end:]]
    stacks = [
        _Slices(block, block.place(results[i], type.nbytes), type)
        for i in wanted[carried:]
        for type in (node.type[i],)
    ]
    moving = [one for one in (*slices, *stacks) if one.step]
    turn = block.inside(
        body,
        [
            *(block.operand(x) for x in node.operands[:captured]),
            *(Place(one.old) for one in carries),
            *(one.place for one in slices),
        ],
        [*(Place(one.new) for one in carries), *(one.place for one in stacks)],
        body.inputs[captured:end],
        body.inputs[:captured],
    )
    swaps: list[Instruction] = []
    for i, one in enumerate(carries):
        in_place = turn.in_place(i)
        before, _ = one.settle(in_place)
        block.write(before)
        if not in_place:
            swaps.append(Swap(one.old, one.new))
    for each in moving:
        block.write([each.set(length if reverse else 0)])
    block.write(turn.before)
    counter = block.stock.slot()
    block.write([Count(counter, length)])
    on = [Advance(x.place.slot, -x.step if reverse else x.step) for x in moving]
    block.write([*turn.instructions, *swaps, *on, Repeat(counter, 0)])


class _Slices:
    """What is read or written in each turn, slice by slice along the first axis."""

    def __init__(self, block: Block, whole: Place, type: TensorType) -> None:
        self.whole = whole
        self.step = type.nbytes // type.shape[0]
        self.place = Place(block.stock.slot()) if self.step else whole

    def set(self, count: int) -> Instruction:
        """Return what begins with the first, or with the last of `count` slices."""
        offset = max(count - 1, 0) * self.step
        return SetSlot(
            self.place.slot, Place(self.whole.slot, self.whole.offset + offset)
        )


def _copy(block: Block, node: Node, result: Hashable) -> None:
    nbytes = node.type.nbytes
    if nbytes:
        target = block.place(result, nbytes)
        block.write([Copy(target, block.operand(node), nbytes)])


def write_while(
    block: Block, at: int, node: Node, results: Sequence[Hashable]
) -> None:
    """Write a loop that goes on for as long as a graph gives true."""
    captured: int = node.attributes["captured"]
    condition: Graph = node.attributes["condition_graph"]
    body: Graph = node.attributes["body_graph"]
    carries = _carries(block, at, node.operands, captured, results, None)
    inputs = [
        *(block.operand(x) for x in node.operands[:captured]),
        *(Place(one.old) for one in carries),
    ]
    going = block.stock.take(1)
    test = block.inside(condition, inputs, [going])
    turn = block.inside(
        body, inputs, [Place(one.new) for one in carries], body.inputs[captured:]
    )
    swaps: list[Instruction] = []
    ends: list[Instruction] = []
    for i, one in enumerate(carries):
        in_place = turn.in_place(i)
        before, after = one.settle(in_place)
        block.write(before)
        ends += after
        if not in_place:
            swaps.append(Swap(one.old, one.new))
    loop: list[Instruction] = list(test.instructions)
    leave = len(loop)
    loop.append(Jump(0))
    loop += moved(turn.instructions, len(loop))
    loop += swaps
    # A wrong index must not keep the loop going: it goes on unless there was one.
    alarm = block.stock.alarm
    loop.append(Unless(alarm, 0) if alarm is not None and alarms(node) else Jump(0))
    loop[leave] = Unless(going, len(loop))
    block.write(loop)
    block.write(ends)
    block.stock.arena.free(going.offset, 1)


def write_cond(
    block: Block, at: int, node: Node, results: Sequence[Hashable]
) -> None:
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
        if isinstance(one, Repeat | Jump | Unless)
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
