"""Programs as JSON, so that the next process need not plan them again.

Kernels are named, not held: their code lies elsewhere. Should it be gone, the graph is
compiled after all, as also for showing a stage of a kernel.

Lines of the user's are not part of it: a program that was saved under one script serves
another one, so nodes are told by their numbers.

Read first: `encode`, `decode`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from ..dtypes import as_dtype
from ..errors import layer_of
from ..ir.build import PICK, make_input, pick
from ..ir.graph import Graph, Node, TensorType
from ..ir.text import from_text, to_text
from ..program import (
    Advance,
    Alarm,
    Clear,
    Code,
    Copy,
    Count,
    Host,
    Instruction,
    Jump,
    Lasting,
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
    Use,
    Work,
)
from ..transform import ALL_PRIMITIVES
from .planning.calls import Reference, reference

# Made of numbers and places.
_PLAIN: tuple[Callable[..., Instruction], ...] = (
    Copy, Clear, SetSlot, Advance, Swap, Count, Repeat, Jump, Unless, Alarm, Settled,
    Shift,
)  # fmt: skip
_LAUNCH, _HOST, _PARTS, _FIRST = 0, 1, 2, 3
_TAGS = {kind: i for i, kind in enumerate(_PLAIN, _FIRST)}

_STAGES = ("loops", "basic", "llvm", "assembly")
# More bytes of constants are not worth keeping twice.
_MOST_CONSTANTS = 1 << 24


class Unreadable(Exception):
    """Raised for what is no program, or one of another kind."""


@cache
def _known() -> frozenset[Any]:
    return frozenset(ALL_PRIMITIVES)


def text_of(graph: Graph) -> str | None:
    """Return what tells `graph` from those that another program computes.

    Returns:
        None if it has something in it that text cannot tell.
    """
    for node in _all_nodes(graph):
        if node.primitive not in _known() and node.primitive is not PICK:
            return None
    text = to_text(graph)
    # That is how values are written that the grammar does not have.
    return None if "<" in text else text


def encode(program: Program, graph: Graph) -> str | None:
    """Return `program` as JSON; None if it cannot be written, or is not worth it.

    Args:
        graph: what it computes.
    """
    if program.constants.nbytes > _MOST_CONSTANTS:
        return None
    numbers: dict[tuple[str, str], int] = {("", ""): -1}
    for i, node in enumerate(_all_nodes(graph)):
        numbers.setdefault(_place(node.where), i)
    try:
        return json.dumps(
            {
                "kernels": [_kernel(code) for code in program.kernels],
                "instructions": [_plain(x, numbers) for x in program.instructions],
                "arena": program.arena,
                "constants": base64.b64encode(program.constants.tobytes()).decode(),
                "slots": program.slots,
                "donations": list(program.donations.items()),
                "lasting": (program.lasting, program.lasting_slot),
                "lasts": program.lasts,
            },
            separators=(",", ":"),
        )
    except _CannotBeSaved:
        return None


class _CannotBeSaved(Exception):
    pass


def _kernel(code: Code) -> list[Any]:
    work = (code.work.flops, code.work.nbytes)
    uses = [tuple(use) for use in code.uses]
    return [code.name, code.key, code.chunks, code.scratch, *work, uses]


def _place(where: str) -> tuple[str, str]:
    """Return a line, and the layer that was running there."""
    return where, layer_of(where)


def _plain(one: Instruction, numbers: dict[tuple[str, str], int]) -> list[Any]:
    if isinstance(one, Launch):
        places = [word for place in one.places for word in place]
        return [_LAUNCH, one.kernel, places, numbers.get(_place(one.where), -1)]
    if isinstance(one, Host):
        windows = [
            [(*place, type.shape, type.dtype.name) for place, type in part]
            for part in (one.operands, one.results)
        ]
        return [_HOST, _called(one), *windows, numbers.get(_place(one.where), -1)]
    if isinstance(one, Parts):
        line = numbers.get(_place(one.where), -1)
        return [_PARTS, one.number, one.target, line]
    return [_TAGS[type(one)], *one]


def _called(one: Host) -> str:
    """Return the function of a call as a graph of one step."""
    function = one.function
    if not isinstance(function, Reference) or function.primitive not in _known():
        raise _CannotBeSaved
    inputs = [make_input(type.shape, type.dtype) for _, type in one.operands]
    node = Node(
        function.primitive, tuple(inputs), function.attributes, function.type, False
    )
    several = isinstance(node.type, tuple)
    outputs = [pick(node, i) for i in range(len(node.type))] if several else [node]
    text = to_text(Graph(inputs, outputs))
    if "<" in text:
        raise _CannotBeSaved
    return text


def decode(data: str, graph: Graph, again: Callable[[], Program]) -> Program:
    """Return the program that `encode` has written.

    Args:
        graph: what it computes: equal to the one it was encoded for, but for lines.
        again: compiles it; called if something is asked for that was not saved.

    Raises:
        Unreadable: the data are no program.
    """
    try:
        parts = json.loads(data)
        lines = [*[node.where for node in _all_nodes(graph)], ""]
        again = cache(again)
        lasting, lasting_slot = parts["lasting"]
        return Program(
            [node.type for node in graph.inputs],
            [node.type for node in graph.outputs],
            [_code(i, x, again) for i, x in enumerate(parts["kernels"])],
            [_instruction(x, lines) for x in parts["instructions"]],
            parts["arena"],
            np.frombuffer(base64.b64decode(parts["constants"]), np.uint8),
            parts["slots"],
            dict(parts["donations"]),
            lasting,
            lasting_slot,
            [Lasting(flag, tuple(inputs)) for flag, inputs in parts["lasts"]],
        )
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise Unreadable(str(error)) from error


def _code(i: int, parts: Sequence[Any], again: Callable[[], Program]) -> Code:
    name, key, chunks, scratch, flops, nbytes, uses = parts
    return Code(
        name,
        key,
        chunks,
        scratch,
        Work(flops, nbytes),
        lambda: again().kernels[i].build(),
        [Use(*use) for use in uses],
        {x: partial(_stage, again, i, x) for x in _STAGES},
        lambda symbol, divided: _define(again, i, symbol, divided),
    )


def _define(again: Callable[[], Program], i: int, symbol: str, divided: bool) -> str:
    define = again().kernels[i].define
    assert define is not None
    return define(symbol, divided)


def _stage(again: Callable[[], Program], i: int, stage: str) -> str:
    return again().kernels[i].stages[stage]()


def _instruction(parts: Sequence[Any], lines: Sequence[str]) -> Instruction:
    tag, *rest = parts
    if tag == _LAUNCH:
        kernel, words, line = rest
        places = tuple(map(Place, words[::2], words[1::2]))
        return Launch(kernel, places, lines[line])
    if tag == _HOST:
        text, operands, results, line = rest
        windows = _windows(operands), _windows(results)
        return Host(_function(text), *windows, lines[line])
    if tag == _PARTS:
        count, target, line = rest
        return Parts(count, target, lines[line])
    fields = [Place(*x) if isinstance(x, list) else x for x in rest]
    found: Instruction = _PLAIN[tag - _FIRST](*fields)
    return found


def _windows(parts: Sequence[Any]) -> tuple[tuple[Place, TensorType], ...]:
    return tuple(
        (Place(slot, offset), TensorType(tuple(shape), as_dtype(dtype)))
        for slot, offset, shape, dtype in parts
    )


def _function(text: str) -> Reference:
    (*_, node) = [
        x for x in from_text(text, ALL_PRIMITIVES).nodes() if x.primitive in _known()
    ]
    return reference(node)


def _all_nodes(graph: Graph) -> Iterator[Node]:
    """Yield the nodes of `graph` and of the graphs in it, in a fixed order."""
    for node in graph.nodes():
        yield node
        for name in sorted(node.attributes):
            yield from _inside(node.attributes[name])


def _inside(value: Any) -> Iterator[Node]:
    if isinstance(value, Graph):
        yield from _all_nodes(value)
    elif isinstance(value, tuple):
        for item in value:
            yield from _inside(item)
