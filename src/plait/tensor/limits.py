"""What this machine can do: measured once in a process, with kernels of our own.

Two figures bound every kernel from below, as in the roofline model (Williams, Waterman,
Patterson 2009): how many float32 operations a second the processor does, measured by
fused multiply-adds on registers, and how many bytes a second go through memory,
measured by copying more than the caches hold.

Read first: `Limits`, `limits`.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from ..compile.llvm.target import Target, host
from ..compile.loops.grammar import (
    UNROLL,
    Buffer,
    Fold,
    For,
    Get,
    Kernel,
    Let,
    Load,
    Operation,
    Registers,
    Set,
    Statement,
    Store,
    Variable,
    Vector,
)
from ..compile.lower.piece import Piece
from ..compile.pipeline import kernel_code
from ..dtypes import float32
from ..ir.graph import TensorType
from ..program import Launch, Place, Program, Work
from ..runtime import Runner, get_num_threads
from ..runtime.timeline import Timeline

# Turns of the loop of multiply-adds, and how many of them do not wait for one another:
# enough for units of 4 to 5 cycles of latency, two in a cycle.
_TURNS, _CHAINS, _CHUNKS = 2_000, 12, 64
# Bytes that are copied: more than caches hold on most machines.
_COPIED = 1 << 26
_REPEATS = 3


class Limits(NamedTuple):
    """The most that one thread, or all threads together, can do.

    Attributes:
        flops: float32 operations a second; a multiply-add is two.
        bandwidth: bytes a second, read and written ones counted alike.
        threads: how many threads there are together.
    """

    flops: float
    bandwidth: float
    threads: int

    def seconds(self, flops: float, nbytes: float) -> float:
        """Return the time below which nothing can do so much."""
        return max(flops / self.flops, nbytes / self.bandwidth)


def limits(shared: bool = True) -> Limits:
    """Return the limits of all threads together, or of one.

    Takes some 50 ms the first time.
    """
    return _measured(get_num_threads() if shared else 1)


@cache
def _measured(threads: int) -> Limits:
    target = host()
    alone = threads == 1
    products = _best(_products(target), [np.full(1, 0.5, np.float32)], alone)
    source = np.zeros(_COPIED // 4, np.float32)
    copied = _best(_copy(target), [source], alone)
    work = 2 * target.lanes(float32) * _CHAINS * _TURNS * _CHUNKS
    return Limits(work / products, 2 * _COPIED / copied, threads)


def _best(piece: Piece, values: list[np.ndarray], alone: bool) -> float:
    """Return the seconds of the fastest of some launches of a kernel."""
    if alone:
        # What costs nothing is not worth sharing.
        piece = Piece(piece.kernel, piece.contents, Work())
    code = kernel_code(piece, host())
    types = [TensorType((x.size,), float32) for x in piece.kernel.buffers]
    inputs, outputs = types[: len(values)], types[len(values) :]
    places = tuple(Place(i) for i in range(len(types)))
    launches = [Launch(0, places)] * _REPEATS
    program = Program(
        inputs, outputs, [code], launches, 0, np.zeros(0, np.uint8), len(types) + 2
    )
    timeline = Timeline()
    Runner(program).run(list(values), timeline)
    return min(span.end - span.begin for span in timeline.spans) / 1e9


def _products(target: Target) -> Piece:
    """Return the kernel that multiplies and adds as fast as it can."""
    lanes = target.lanes(float32)
    x = Buffer("x", float32, 1)
    y = Buffer("y", float32, _CHUNKS, "out")
    chains = [Registers(f"chain{i}", float32, 1, lanes) for i in range(_CHAINS)]
    factor = Variable("factor", float32)
    lane = Variable("lane")
    one_turn: list[Statement] = [
        Set(c, 0, Operation("fused_multiply_add", (Get(c), factor, factor)))
        for c in chains
    ]
    total = Registers("total", float32, 1, lanes)
    ends: list[Statement] = [
        Set(total, 0, Operation("add", (Get(total), Get(c)))) for c in chains
    ]
    turns = For(Variable("turn"), _TURNS, [Vector(lane, lanes, lanes, one_turn)])
    body: list[Statement] = [
        Let(factor, Load(x, 0)),
        *chains,
        turns,
        total,
        Vector(lane, lanes, lanes, ends),
        Store(y, Kernel.CHUNK, Fold("add", total)),
    ]
    kernel = Kernel("multiply-adds", (x, y), body, _CHUNKS)
    flops = 2 * lanes * _CHAINS * _TURNS * _CHUNKS
    return Piece(kernel, ("x", "y"), Work(flops, 0))


def _copy(target: Target) -> Piece:
    """Return the kernel that copies a large array."""
    lanes, size = target.lanes(float32), _COPIED // 4
    x, y = Buffer("x", float32, size), Buffer("y", float32, size, "out")
    part = size // _CHUNKS
    turn, lane, k = Variable("turn"), Variable("lane"), Variable("k")
    at = Kernel.CHUNK * part + turn * (4 * lanes) + k * lanes + lane
    copy = Vector(lane, lanes, lanes, [Store(y, at, Load(x, at))])
    body: list[Statement] = [
        For(turn, part // (4 * lanes), [For(k, 4, [copy], UNROLL)])
    ]
    kernel = Kernel("copy", (x, y), body, _CHUNKS)
    return Piece(kernel, ("x", "y"), Work(0, 2 * _COPIED))
