"""From a group led by a convolution to kernels.

Read first: `lower_convolution`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ...dtypes import bfloat16, float32
from ...ir.graph import Node
from ..loops.grammar import Body, Expression, Load, Variable
from ..schedule.group import Group
from . import contract, product
from .blocking import Facts
from .blocking import Shape as Extents
from .convolution_block import lower_positions
from .convolution_dots import lower_sums
from .convolution_gathered import gathered
from .convolution_pairs import are_paired, paired
from .convolution_products import lower_products, way_of
from .convolution_shifted import is_shifted, lower_shifted
from .convolution_tiles import filter_of, lower_tiles
from .convolution_workgroup import lower_windows
from .dot import contiguous, operand
from .index import affine, unravel
from .led import Epilogue, as_pieces, element
from .memory import Memory
from .piece import Piece
from .sliding import Axis, Finish, Problem, Source
from .ways import is_gathered, laid, slid

# Bytes between the numbers of two channels that are read one after the other, at most.
_NEAR = 1024
# Bytes of a kernel that stays in the caches, however it is read.
_CACHED = 1 << 17
# Places of one item that make a matrix worth a product of its own.
_PLACES = 32
# What a product costs that is added up with another one, with the copies that it takes.
_PAIRED, _PAIRED_SUMS = 0.5, 0.56
# Items of a chunk whose sums run along the kernel.
_ITEMS = 16


def lower_convolution(
    group: Group,
    stored: Callable[[Node], bool],
    outputs: Sequence[Node],
    facts: Facts,
    precision: str,
    name: str,
) -> list[Piece]:
    """Return the kernels that compute a group led by a convolution, in order."""
    memory = Memory(stored)
    node = group.head
    x, weight = node.operands
    at = node.attributes
    axes, along_kernel = slid(node)
    kinds = ["b", "m", *["n"] * len(axes)]
    narrow = node.dtype.is_float and node.dtype.itemsize == 2

    def source(operand: Node) -> Source:
        return lambda first, rest: element(operand, (first, *rest), memory)

    epilogue = Epilogue(group, memory, outputs, kinds)
    if at["groups"] == 1 and not along_kernel and all(map(_is_plain, axes)):
        places = math.prod(x.shape[2:])
        if places == 1:
            # Then the items of the batch are the columns.
            epilogue = Epilogue(group, memory, outputs, ["n", "m", *["n"] * len(axes)])
        if places == 1 or places >= _PLACES:
            pieces = _points(node, memory, epilogue, facts, precision, name)
            return as_pieces(pieces, group, memory, node.size * weight.shape[1])
    dtype = float32 if narrow else node.dtype
    products = node.size * math.prod(weight.shape[1:])
    if facts.workgroup and dtype.bits == 32:
        pieces = lower_windows(node, memory, epilogue, facts, precision, name)
        return as_pieces(pieces, group, memory, products)
    if is_shifted(node):
        pieces = lower_shifted(node, memory, epilogue, facts, precision, name)
        return as_pieces(pieces, group, memory, products)
    rows, channels = weight.shape[0] // at["groups"], weight.shape[1]
    finish = (_at_number if along_kernel else _at_places)(epilogue)
    problem = Problem(
        x.shape[0], at["groups"], rows, channels, axes, dtype,
        _direct(node, source(weight), facts), source(x), source(weight), finish,
    )  # fmt: skip
    after: list[product.Piece] = []
    if is_gathered(axes, along_kernel):
        lanes = facts.lanes(dtype)
        problem, after = gathered(problem, along_kernel, lanes, name)
    in_pairs = x.dtype is weight.dtype is bfloat16 and are_paired(problem, facts)
    each = 1.0
    if in_pairs:
        each = _PAIRED_SUMS if along_kernel else _PAIRED
    if not along_kernel and (filter := filter_of(problem, facts, each)):
        pieces = lower_tiles(problem, filter, facts, name)
    elif along_kernel and (way := way_of(problem, facts, each)):
        pieces = lower_products(problem, way, facts, precision, name)
    else:
        lower = lower_sums if along_kernel else lower_positions
        problem = _cheaper(problem, along_kernel, facts)
        if in_pairs:
            problem = paired(problem)
        pieces = lower(problem, facts, name)
    return as_pieces([*pieces, *after], group, memory, products)


def _cheaper(problem: Problem, along_kernel: bool, facts: Facts) -> Problem:
    """Return the problem with axes that take less work."""
    room = facts.l2 // 2 // problem.dtype.itemsize
    rows, together = problem.rows, max(1, problem.channels)
    if along_kernel:
        rows, together = min(rows, _ITEMS), _ITEMS
    axes = laid(problem.axes, rows, room // together)
    return _joined(problem._replace(axes=axes))


def _points(
    node: Node,
    memory: Memory,
    epilogue: Epilogue,
    facts: Facts,
    precision: str,
    name: str,
) -> list[product.Piece]:
    """Return the loops of a convolution in which nothing slides: a matrix product."""
    x, weight = node.operands
    rows, channels = weight.shape[:2]
    places = math.prod(x.shape[2:])
    batch = () if places == 1 else (0,)
    extents = Extents(x.shape[0], rows, places, channels)
    if places == 1:
        extents = Extents(1, rows, x.shape[0], channels)

    def finish(b: Expression, m: Expression, n: Expression, value: Expression) -> Body:
        return epilogue.at({"b": b, "m": m, "n": n}, value)

    return contract.lower(
        product.Contraction(extents, node.dtype, precision),
        operand(weight, (1,), (), memory), operand(x, (1,), batch, memory), finish,
        contiguous(epilogue), facts, name,
    )  # fmt: skip


def _direct(node: Node, weight: Source, facts: Facts) -> bool:
    """Whether the kernel's numbers are read where they lie.

    A row's numbers should lie one after another, unless all of them stay in a cache.
    """
    kernel = node.operands[1]
    if node.dtype.is_float and node.dtype.itemsize == 2:
        return False
    if facts.lasting and kernel.type.nbytes > _CACHED:
        return False  # a copy in the order of its use costs nothing
    names = [Variable(f"i{i}") for i in range(kernel.ndim)]
    value = weight(names[0], names[1:])
    found = affine(value.index) if isinstance(value, Load) else None
    if found is None:
        return False
    step = abs(found[0].get("i1", 0)) * node.dtype.itemsize
    return step <= _NEAR or kernel.type.nbytes <= _CACHED


def _at_places(epilogue: Epilogue) -> Finish:
    def finish(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        return epilogue.statements((b, m, *places), value)

    return finish


def _at_number(epilogue: Epilogue) -> Finish:
    def finish(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        return epilogue.at({"b": b, "m": m, "n": places[0]}, value)

    return finish


def _joined(problem: Problem) -> Problem:
    """Return the problem with axes joined along which nothing slides."""
    axes: list[Axis] = []
    sizes: list[list[int]] = []
    for axis in problem.axes:
        if axes and _is_plain(axis) and _is_plain(axes[-1]):
            sizes[-1].append(axis.size)
            n = math.prod(sizes[-1])
            axes[-1] = Axis(n, n, 1, 1, 1, 1, 0)
        else:
            axes.append(axis)
            sizes.append([axis.size])
    if len(axes) == len(problem.axes):
        return problem

    def apart(at: Sequence[Expression]) -> list[Expression]:
        found: list[Expression] = []
        for place, parts in zip(at, sizes, strict=True):
            found += unravel(place, tuple(parts)) if len(parts) > 1 else [place]
        return found

    def x(item: Expression, at: Sequence[Expression]) -> Expression:
        return problem.x(item, [at[0], *apart(at[1:])])

    def weight(row: Expression, at: Sequence[Expression]) -> Expression:
        return problem.weight(row, [at[0], *apart(at[1:])])

    def finish(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        if len(places) == len(sizes):
            places = apart(places)
        return problem.finish(b, m, places, value)

    return problem._replace(axes=axes, x=x, weight=weight, finish=finish)


def _is_plain(axis: Axis) -> bool:
    """Whether each position meets just the element at its place."""
    return (
        axis.taps == axis.phases == axis.stride == 1
        and axis.parts == [axis.low_shift] == [0]
        and axis.count == axis.size
    )
