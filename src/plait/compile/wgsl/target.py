"""WebGPU as a target: a workgroup of a device is a very wide vector unit.

Read first: `WEBGPU`, `compile_graph`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from ...dtypes import float16
from ...ir.graph import Graph
from ...program import Code, Program, Use, Work
from ...stopwatch import timed
from ..llvm.target import Target
from ..loops.functions import expand_functions
from ..loops.grammar import Kernel
from ..loops.simplify import simplify
from ..loops.text import to_text
from ..lower.piece import Piece
from ..pipeline import compile_graph as compile_for
from .emit import emit
from .memory import WORKGROUP_BYTES
from .moves import copy_kernel, moved, with_tables


@dataclass(frozen=True)
class Graphics(Target):
    """A device that runs WGSL.

    One `vector` of Loop IR is the invocations of a workgroup, and a chunk is a
    workgroup.
    """

    @property
    def runs(self) -> bool:
        """No processor runs its code."""
        return False


# 64 lanes of 32 bits. The lanes' registers are the invocations' own variables.
WEBGPU = Graphics(
    "webgpu",
    "wgsl",
    "",
    vector_bits=2048,
    vector_registers=32,
    alone=True,
    finer=128,
    workgroup=WORKGROUP_BYTES,
)


def compile_graph(
    graph: Graph,
    precision: str = "highest",
    memory_limit: int = 0,
    lasts: bool = False,
    alone: bool = False,
) -> Program:
    """Return the program that computes `graph` on a WebGPU device.

    The code of its kernels is WGSL in UTF-8; see `emit.emit` for what it takes. Those
    that have float16 have a stage "wgsl half" too, for devices with "shader-f16".

    Args:
        graph, precision, memory_limit, lasts: see `pipeline.compile_graph`.
        alone: it runs where there is no Python, see `Target.alone`.
    """
    target = replace(WEBGPU, alone=alone)
    program = compile_for(
        graph, target, precision, memory_limit, lasts, coded=wgsl_code
    )
    return with_tables(moved(program, _simple_code))


def copy_code(nbytes: int) -> Code:
    """Return a kernel that copies memory, to the first of two places."""
    return _simple_code(copy_kernel(nbytes))


def _simple_code(kernel: Kernel) -> Code:
    return _wgsl_code(Piece(kernel, (), Work()))


def wgsl_code(piece: Piece, target: Target) -> Code:
    """Return a kernel as WGSL."""
    key = (wgsl_code, target, frozenset(piece.inout))
    code: Code | None = piece.memo.get(key)
    if code is None:
        code = piece.memo[key] = _wgsl_code(piece)
    return code


def _wgsl_code(piece: Piece) -> Code:
    with timed("loops"):
        short = simplify(piece.kernel, piece.inout)
        kernel = expand_functions(short, False)
        if kernel is not short:
            kernel = simplify(kernel)
        text = to_text(kernel, canonical=True)
    inout = frozenset(piece.inout)
    with timed("emit"):
        shader = emit(kernel, inout)
    key = f"wgsl {sorted(inout)} {text}"
    stages = {
        "loops": lambda: to_text(short),
        "basic": lambda: text,
        "wgsl": lambda: shader.text,
    }
    if any(x.dtype is float16 for x in (*kernel.buffers, *kernel.scratch)):
        stages["wgsl half"] = lambda: emit(kernel, inout, half=True).text
    uses = [Use(x.access, x.dtype.name, x.size) for x in kernel.buffers]
    if shader.table:
        uses.append(Use("in", "uint64", len(shader.table) // 2))
    return Code(
        kernel.name,
        hashlib.sha256(key.encode()).hexdigest(),
        kernel.chunks,
        shader.scratch,
        piece.work,
        shader.text.encode,
        uses,
        stages,
        table=b"".join(word.to_bytes(4, "little") for word in shader.table),
    )
