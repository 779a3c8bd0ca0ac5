"""The compiler, from a graph to a program: the list of what is done, in order.

Read first: `compile_graph`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ..ir.graph import Graph
from ..program import Code, Place, Program, Use
from ..stopwatch import timed
from .compose import composed
from .llvm.assemble import assemble, assembly
from .llvm.emit import define, emit
from .llvm.target import Target
from .loops.functions import expand_functions
from .loops.simplify import simplify
from .loops.text import to_text
from .lower.piece import Piece
from .planning.alike import Shelf
from .planning.block import Block
from .planning.fit import fitted
from .planning.stock import Stock
from .schedule.arena import aligned

# Of all programs: what is compiled next is often like what has been.
SHELF = Shelf()


def compile_graph(
    graph: Graph,
    target: Target,
    precision: str = "highest",
    memory_limit: int = 0,
    lasts: bool = False,
    coded: Callable[[Piece, Target], Code] | None = None,
) -> Program:
    """Return the program that computes `graph`.

    Args:
        graph: simplified.
        target: what code is made for.
        precision: of float32 contractions, see `settings.matmul_precision`.
        memory_limit: bytes that a run shall take besides its inputs, if that can be:
            values are computed again then. 0 is no limit.
        lasts: copies of inputs in another order may be kept for the next run, which is
            likely to have the same ones.
        coded: makes a kernel's code; `kernel_code` by default.
    """
    graph = composed(graph)

    def plan(room: int | None) -> tuple[Program, int]:
        stock = Stock(graph, target, precision, coded or kernel_code, SHELF)
        donations: dict[int, int] = {}
        count = len(graph.inputs)
        block = Block(
            stock,
            graph,
            [Place(i) for i in range(count)],
            [Place(count + i) for i in range(len(graph.outputs))],
            donations=donations,
            room=room,
            lasts=lasts and not memory_limit,
        )
        block.plan()
        return stock.program(graph, block.instructions, donations), block.held

    with timed("lower"):
        return fitted(plan, memory_limit) if memory_limit else plan(None)[0]


def kernel_code(piece: Piece, target: Target) -> Code:
    """Return a kernel in the form that the runtime loads."""
    key = (kernel_code, target, frozenset(piece.inout))
    code: Code | None = piece.memo.get(key)
    if code is None:
        code = piece.memo[key] = _kernel_code(piece, target)
    return code


def _kernel_code(piece: Piece, target: Target) -> Code:
    with timed("loops"):
        short = simplify(piece.kernel, piece.inout)
        kernel = expand_functions(short, target.fma)
        if kernel is not short:
            kernel = simplify(kernel)
        text = to_text(kernel, canonical=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
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
        "basic": lambda: text,
        "llvm": llvm,
        "assembly": lambda: assembly(llvm(), target),
    }
    uses = [Use(x.access, x.dtype.name, x.size) for x in kernel.buffers]
    return Code(
        kernel.name,
        digest,
        kernel.chunks,
        scratch,
        piece.work,
        build,
        uses,
        stages,
        lambda symbol, divided: define(kernel, target, symbol, divided),
    )
